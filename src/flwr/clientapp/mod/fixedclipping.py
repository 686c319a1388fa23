"""Clipping at the node, with a bound that stays."""

from logging import INFO

from flwr.app import Context, Message
from flwr.clientapp.mod.trained_update import (
    PreconditionUnmet,
    clip_reply,
    is_training,
    refusal,
    sent_arrays,
    sent_bound,
)
from flwr.clientapp.typing import ClientAppCallable
from flwr.log import log

_NAME = "fixedclipping_mod"
_WRAPPER = "DifferentialPrivacyClientSideFixedClipping"


def fixedclipping_mod(msg: Message, ctxt: Context, call_next: ClientAppCallable) -> Message:
    """Clip a node's update to the bound that the server sent [1]_.

    The model that comes back is ``w + u * min(1, C / ||u||)``, where ``u`` is what training changed
    and the norm is that of all floating-point arrays together. Use it with
    ``DifferentialPrivacyClientSideFixedClipping``, which sends ``C`` as ``clipping_norm`` and adds
    the noise. Put it where nothing changes the arrays afterwards: first in the list of mods.

    Only messages of type ``train`` and ``train.<action>`` are clipped. Arrays of integers, bools or
    text go back as they were sent, and so does the whole model if the update is not finite. Error
    replies are passed on. Where the records are not as expected (one ArrayRecord both ways, of the
    same names and shapes, and one ConfigRecord), the reply is an error of code 6.

    Parameters
    ----------
    msg, ctxt, call_next
        As for every mod.

    References
    ----------
    .. [1] McMahan et al., Learning Differentially Private Recurrent Language Models,
       https://arxiv.org/abs/1710.06963
    """
    if not is_training(msg):
        return call_next(msg, ctxt)
    try:
        sent = sent_arrays(_NAME, msg.content)
        bound = sent_bound(_NAME, _WRAPPER, msg.content)
        reply = call_next(msg, ctxt)
        if reply.has_error():
            return reply
        clip_reply(_NAME, sent, reply, bound)
    except PreconditionUnmet as unmet:
        return refusal(msg, unmet)
    log(INFO, "%s: parameters are clipped by value: %.4f.", _NAME, bound)
    return reply
