"""Differential privacy that trusts nobody but the legacy client."""

from logging import INFO

from flwr.app import Context, Message
from flwr.clientapp.mod.localdp import LocalDpMod as MessageLocalDpMod
from flwr.clientapp.mod.trained_update import is_training
from flwr.clientapp.typing import ClientAppCallable
from flwr.compat.client.mod.fit_update import clip_result, sent_arrays
from flwr.log import log
from flwr.privacy.noise import GaussianNoise


class LocalDpMod(MessageLocalDpMod):
    """Clip a legacy client's update and add Gaussian noise to it before it leaves the node.

    As ``flwr.clientapp.mod.LocalDpMod``, parameters and all, but on the records of `FitIns` and
    `FitRes`.
    """

    def __call__(self, msg: Message, ctxt: Context, call_next: ClientAppCallable) -> Message:
        """Answer a message; the arrays of the reply are clipped and noised.

        Raises
        ------
        KeyError
            If the records are not those of `FitIns` and `FitRes`.
        ValueError
            If the arrays do not come back as they were sent.
        """
        if not is_training(msg):
            return call_next(msg, ctxt)
        stddev = self._stddev()
        sent = sent_arrays(msg)
        reply = call_next(msg, ctxt)
        noise = GaussianNoise(stddev)
        if clip_result("LocalDpMod", sent, reply, self.clipping_norm, noise) is not None:
            log(INFO, "LocalDpMod: parameters are clipped by value: %.4f.", self.clipping_norm)
            log(INFO, "LocalDpMod: local DP noise with %.4f stddev added to parameters", stddev)
        return reply
