"""Clipping at a legacy client, with a bound that adapts."""

import math
from logging import INFO

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp.mod.trained_update import is_training
from flwr.clientapp.typing import ClientAppCallable
from flwr.compat.client.mod.fit_update import clip_result, sent_arrays, sent_bound
from flwr.compat.differential_privacy import KEY_NORM_BIT
from flwr.log import log

_NAME = "adaptiveclipping_mod"
_WRAPPER = "DifferentialPrivacyClientSideAdaptiveClipping"
_METRICS = "fitres.metrics"


def adaptiveclipping_mod(msg: Message, ctxt: Context, call_next: ClientAppCallable) -> Message:
    """Clip a legacy client's update to the bound that the server sent, and tell if it was longer.

    As ``flwr.clientapp.mod.adaptiveclipping_mod``, but on the records of `FitIns` and `FitRes`:
    with ``DifferentialPrivacyClientSideAdaptiveClipping`` of ``flwr.server.strategy``, which takes
    the metric ``norm_bit``: True if the update was longer than the bound (or not finite).

    Parameters and errors are those of `fixedclipping_mod`.
    """
    if not is_training(msg):
        return call_next(msg, ctxt)
    sent, bound = sent_arrays(msg), sent_bound(_NAME, _WRAPPER, msg)
    reply = call_next(msg, ctxt)
    norm = clip_result(_NAME, sent, reply, bound)
    if norm is not None:
        clipped = not math.isfinite(norm) or norm > bound
        metrics = {**reply.content.config_records[_METRICS], KEY_NORM_BIT: clipped}
        reply.content = RecordDict({**reply.content, _METRICS: ConfigRecord(metrics)})
        log(INFO, "%s: parameters are clipped by value: %.4f.", _NAME, bound)
    return reply
