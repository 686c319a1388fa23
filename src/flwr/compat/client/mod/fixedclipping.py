"""Clipping at a legacy client, with a bound that stays."""

from logging import INFO

from flwr.app import Context, Message
from flwr.clientapp.mod.trained_update import is_training
from flwr.clientapp.typing import ClientAppCallable
from flwr.compat.client.mod.fit_update import clip_result, sent_arrays, sent_bound
from flwr.log import log

_NAME = "fixedclipping_mod"
_WRAPPER = "DifferentialPrivacyClientSideFixedClipping"


def fixedclipping_mod(msg: Message, ctxt: Context, call_next: ClientAppCallable) -> Message:
    """Clip a legacy client's update to the bound that the server sent.

    As ``flwr.clientapp.mod.fixedclipping_mod``, but on the records of `FitIns` and `FitRes`: with
    ``DifferentialPrivacyClientSideFixedClipping`` of ``flwr.server.strategy``, which sends the
    bound as ``clipping_norm``.

    Parameters
    ----------
    msg, ctxt, call_next
        As for every mod.

    Raises
    ------
    KeyError
        If the server sent no bound, or other records than those of `FitIns`.
    ValueError
        If the bound is no number above 0, or the arrays do not come back as they were sent.
    """
    if not is_training(msg):
        return call_next(msg, ctxt)
    sent, bound = sent_arrays(msg), sent_bound(_NAME, _WRAPPER, msg)
    reply = call_next(msg, ctxt)
    if clip_result(_NAME, sent, reply, bound) is not None:
        log(INFO, "%s: parameters are clipped by value: %.4f.", _NAME, bound)
    return reply
