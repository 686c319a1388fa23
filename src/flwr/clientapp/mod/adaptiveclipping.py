"""Clipping at the node, with a bound that adapts."""

import math
from logging import INFO

from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp.mod.trained_update import (
    PreconditionUnmet,
    clip_reply,
    is_training,
    only_record,
    refusal,
    sent_arrays,
    sent_bound,
)
from flwr.clientapp.typing import ClientAppCallable
from flwr.log import log

_NAME = "adaptiveclipping_mod"
_WRAPPER = "DifferentialPrivacyClientSideAdaptiveClipping"
_KEY_NORM_BIT = "norm_bit"


def adaptiveclipping_mod(msg: Message, ctxt: Context, call_next: ClientAppCallable) -> Message:
    """Clip a node's update to the bound that the server sent, and tell whether it was longer [1]_.

    As ``fixedclipping_mod``; beyond it, the reply needs exactly one MetricRecord, in which
    ``norm_bit`` is set: 1 if the update was longer than the bound (or not finite), else 0. Use it
    with ``DifferentialPrivacyClientSideAdaptiveClipping``, which takes the bit out of the metrics
    and moves the bound.

    Parameters
    ----------
    msg, ctxt, call_next
        As for every mod.

    References
    ----------
    .. [1] Andrew et al., Differentially Private Learning with Adaptive Clipping,
       https://arxiv.org/abs/1905.03871
    """
    if not is_training(msg):
        return call_next(msg, ctxt)
    try:
        sent = sent_arrays(_NAME, msg.content)
        bound = sent_bound(_NAME, _WRAPPER, msg.content)
        reply = call_next(msg, ctxt)
        if reply.has_error():
            return reply
        name, metrics = only_record(_NAME, MetricRecord, reply.content)
        norm = clip_reply(_NAME, sent, reply, bound)
    except PreconditionUnmet as unmet:
        return refusal(msg, unmet)
    clipped = not math.isfinite(norm) or norm > bound
    with_bit = MetricRecord({**metrics, _KEY_NORM_BIT: int(clipped)})
    reply.content = RecordDict({**reply.content, name: with_bit})
    log(INFO, "%s: ndarrays are clipped by value: %.4f.", _NAME, bound)
    return reply
