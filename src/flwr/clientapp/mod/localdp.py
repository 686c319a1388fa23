"""Differential privacy that trusts nobody but the node."""

from logging import INFO, WARNING
from typing import Literal

from flwr.app import Context, Message
from flwr.clientapp.mod.trained_update import (
    PreconditionUnmet,
    clip_reply,
    is_training,
    refusal,
    sent_arrays,
)
from flwr.clientapp.typing import ClientAppCallable
from flwr.log import log
from flwr.privacy.calibration import analytic_stddev, classical_stddev
from flwr.privacy.noise import GaussianNoise
from flwr.privacy.settings import check_setting, not_negative, positive

_STDDEV = {"classical": classical_stddev, "analytic": analytic_stddev}


class LocalDpMod:
    """Clip a node's update and add Gaussian noise to it before it leaves the node.

    Each reply to a ``train`` message is (epsilon, delta)-differentially private by itself; the
    releases of several rounds add up. Messages of other types and error replies are passed on.
    Arrays of integers, bools or text go back as they were sent; metrics are not covered.

    Parameters
    ----------
    clipping_norm : float
        The most that the L2 norm of an update may be, over all floating-point arrays together.
    sensitivity : float
        The most that two updates can differ. Two clipped updates differ by ``2 * clipping_norm`` at
        most: give that, unless you know better. 0 adds no noise.
    epsilon : float
        The privacy budget of one round, above 0.
    delta : float
        The probability of failure, between 0 and 1.
    mechanism : {"classical", "analytic"}, default "classical"
        How the noise follows: ``sensitivity * sqrt(2 ln(1.25 / delta)) / epsilon`` [1]_, which is
        proven for ``epsilon <= 1`` and not enough for large ones, or the least that is enough for
        any epsilon [2]_.

    Raises
    ------
    ValueError
        If a value is no number or out of range.

    References
    ----------
    .. [1] Dwork & Roth, The Algorithmic Foundations of Differential Privacy, Theorem A.1
    .. [2] Balle & Wang, Improving the Gaussian Mechanism for Differential Privacy,
       https://arxiv.org/abs/1805.06530

    Examples
    --------
    >>> from flwr.clientapp import ClientApp
    >>> from flwr.clientapp.mod import LocalDpMod
    >>> local_dp = LocalDpMod(1.0, 2.0, epsilon=4.0, delta=1e-5, mechanism="analytic")
    >>> app = ClientApp(mods=[local_dp])
    """

    def __init__(
        self,
        clipping_norm: float,
        sensitivity: float,
        epsilon: float,
        delta: float,
        *,
        mechanism: Literal["classical", "analytic"] = "classical",
    ) -> None:
        for name, value, fits, rule in (
            ("clipping_norm", clipping_norm, positive, "The clipping norm should be positive."),
            ("sensitivity", sensitivity, not_negative, "The sensitivity should be 0 or more."),
            ("epsilon", epsilon, positive, "Epsilon should be positive."),
            ("delta", delta, lambda delta: 0 < delta < 1, "Delta should lie between 0 and 1."),
        ):
            check_setting(name, value, fits, f"LocalDpMod: {rule}")
        if mechanism not in tuple(_STDDEV):  # a tuple takes what cannot be hashed, too
            raise ValueError(f"The mechanism is one of {', '.join(_STDDEV)}, not {mechanism!r}.")
        if mechanism == "classical" and epsilon > 1:
            log(
                WARNING,
                "LocalDpMod: the classical formula is proven for epsilon <= 1 only, and epsilon is "
                '%s; mechanism="analytic" is exact for any.',
                epsilon,
            )
        self.clipping_norm = clipping_norm
        self.sensitivity = sensitivity
        self.epsilon = epsilon
        self.delta = delta
        self.mechanism = mechanism

    def __call__(self, msg: Message, ctxt: Context, call_next: ClientAppCallable) -> Message:
        """Answer a message; the arrays of the reply are clipped and noised.

        Where the records are not as expected (one ArrayRecord both ways, of the same names and
        shapes), the reply is an error of code 6 and holds nothing of the update.
        """
        if not is_training(msg):
            return call_next(msg, ctxt)
        stddev = self._stddev()
        try:
            sent = sent_arrays("LocalDpMod", msg.content)
            reply = call_next(msg, ctxt)
            if reply.has_error():
                return reply
            clip_reply("LocalDpMod", sent, reply, self.clipping_norm, GaussianNoise(stddev))
        except PreconditionUnmet as unmet:
            return refusal(msg, unmet)
        log(INFO, "LocalDpMod: parameters are clipped by value: %.4f.", self.clipping_norm)
        log(INFO, "LocalDpMod: local DP noise with %.4f stddev added to parameters", stddev)
        return reply

    def _stddev(self) -> float:
        """Return the standard deviation of the noise."""
        return _STDDEV[self.mechanism](self.sensitivity, self.epsilon, self.delta)
