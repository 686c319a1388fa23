"""Central differential privacy of the legacy API with a clipping bound that stays."""

from typing import ClassVar

from flwr.compat.strategy.dp_wrapper import PrivacyWrapper
from flwr.compat.strategy.strategy import Strategy
from flwr.serverapp.strategy.clipped_mean import ClippedMean


class _FixedClipping(PrivacyWrapper):
    def _adapt(self, mean: ClippedMean) -> None:
        pass  # the bound stays


class DifferentialPrivacyServerSideFixedClipping(_FixedClipping):
    """Clips the clients' updates on the server and noises their mean.

    With ``w`` the model that was sent, ``u_k`` what client ``k`` changed in it, ``C`` the clipping
    norm, ``z`` the noise multiplier and ``m`` the number of sampled clients, the strategy in it
    steps from ``w + 1/m sum(u_k min(1, C / ||u_k||)) + N(0, (z C / m)^2)``.

    The norm is over all floating-point arrays together; those of integers, bools or text keep the
    values that were sent. Each client counts the same and ``m`` is fixed, so that none changes the
    sum by more than ``C``; with ``noise_multiplier=0`` there is no guarantee to keep, and updates
    are weighted as the strategy would. Updates that are not finite count as none. Metrics are not
    covered. Noise comes from the operating system's randomness and is added before the server's
    step, so moments and momenta hold nothing that was not noised.

    Parameters
    ----------
    strategy : Strategy
        FedAvg or one that keeps its mean: FedProx, FedAvgM, FedAdagrad, FedAdam, FedYogi,
        FaultTolerantFedAvg, or a subclass of one's own.
    noise_multiplier : float
        ``z``; 0 adds no noise.
    clipping_norm : float
        ``C``, above 0.
    num_sampled_clients : int
        ``m``, above 0. Fewer results make the update smaller, not the noise.

    Raises
    ------
    ValueError
        If a value is of a wrong type or out of range, or the strategy is of another kind.

    Notes
    -----
    McMahan et al., Learning Differentially Private Recurrent Language Models,
    https://arxiv.org/abs/1710.06963
    """

    _server_side: ClassVar[bool] = True
    _title: ClassVar[str] = "Server-Side Fixed Clipping"

    def __init__(
        self,
        strategy: Strategy,
        noise_multiplier: float,
        clipping_norm: float,
        num_sampled_clients: int,
    ) -> None:
        super().__init__(strategy, noise_multiplier, clipping_norm, num_sampled_clients)


class DifferentialPrivacyClientSideFixedClipping(_FixedClipping):
    """Noises the mean of updates that the clients clipped.

    As :class:`DifferentialPrivacyServerSideFixedClipping`, but the clipping is done by
    ``fixedclipping_mod``, which every ClientApp must have among its mods. The bound is sent to it
    as ``clipping_norm`` in the configuration.

    Parameters
    ----------
    strategy, noise_multiplier, clipping_norm, num_sampled_clients
        As for :class:`DifferentialPrivacyServerSideFixedClipping`.
    reclip : bool, default False
        Clip on the server, too: changes nothing of what honest clients send.
    """

    _server_side: ClassVar[bool] = False
    _title: ClassVar[str] = "Client-Side Fixed Clipping"
