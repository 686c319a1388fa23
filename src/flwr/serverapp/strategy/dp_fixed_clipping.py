"""Central differential privacy with a clipping bound that stays."""

from typing import ClassVar

from flwr.privacy.accounting import PrivacyAccountant
from flwr.serverapp.strategy.dp_wrapper import PrivacyWrapper
from flwr.serverapp.strategy.strategy import Strategy


class _FixedClipping(PrivacyWrapper):
    _clipped_line: ClassVar[str] = "aggregate_fit: parameters are clipped by value: %.4f."

    def _settings(self) -> list[str]:
        return [
            f"Noise multiplier: {self.noise_multiplier}",
            f"Clipping norm: {self.clipping_norm}",
        ]


class DifferentialPrivacyServerSideFixedClipping(_FixedClipping):
    """Clips the nodes' updates on the server and noises their mean [1]_.

    With ``w`` the model that was sent, ``u_k`` what node ``k`` changed in it, ``C`` the clipping
    norm, ``z`` the noise multiplier and ``m`` the number of sampled clients, the strategy in it
    steps from ``w + 1/m sum(u_k min(1, C / ||u_k||)) + N(0, (z C / m)^2)``.

    The norm is over all floating-point arrays together; those of integers, bools or text keep the
    values that were sent. Each node counts the same and ``m`` is fixed, so that none changes the
    sum by more than ``C``; with ``noise_multiplier=0`` there is no guarantee to keep, and updates
    are weighted as the strategy would. Updates that are not finite count as none. Metrics are not
    covered. Noise comes from the operating system's randomness and is added before the server's
    step, so moments and momenta hold nothing that was not noised.

    Parameters
    ----------
    strategy : Strategy
        FedAvg or one that keeps its mean: FedProx, FedAvgM, FedAdagrad, FedAdam, FedYogi, or a
        subclass of one's own.
    noise_multiplier : float
        ``z``; 0 adds no noise.
    clipping_norm : float
        ``C``, above 0.
    num_sampled_clients : int
        ``m``, above 0. Fewer replies make the update smaller, not the noise.
    accountant : PrivacyAccountant, optional
        Told of every release. Its sampling method must be ``NO_AMPLIFICATION``; each round must ask
        exactly ``num_sampled_clients`` nodes, and one in which not all reply is dropped. When the
        next release would cost more than its ``max_epsilon``, ``PrivacyBudgetExhausted`` is raised,
        whose ``result`` is what the rounds have reached.

    Raises
    ------
    ValueError
        If a value is of a wrong type or out of range, the strategy is of another kind, or the
        accountant does not fit.

    References
    ----------
    .. [1] McMahan et al., Learning Differentially Private Recurrent Language Models,
       https://arxiv.org/abs/1710.06963

    Examples
    --------
    >>> from flwr.serverapp.strategy import DifferentialPrivacyServerSideFixedClipping, FedAvg
    >>> strategy = DifferentialPrivacyServerSideFixedClipping(
    ...     FedAvg(min_train_nodes=100), 0.8, 1.0, 100
    ... )
    """

    _server_side: ClassVar[bool] = True
    _title: ClassVar[str] = "Server-Side Fixed Clipping"

    def __init__(
        self,
        strategy: Strategy,
        noise_multiplier: float,
        clipping_norm: float,
        num_sampled_clients: int,
        *,
        accountant: PrivacyAccountant | None = None,
    ) -> None:
        super().__init__(
            strategy,
            noise_multiplier,
            clipping_norm,
            num_sampled_clients,
            accountant=accountant,
            reclip=False,
        )


class DifferentialPrivacyClientSideFixedClipping(_FixedClipping):
    """Noises the mean of updates that the nodes clipped.

    As :class:`DifferentialPrivacyServerSideFixedClipping`, but the clipping is done by
    ``fixedclipping_mod``, which every ClientApp must have among its mods; the bound is sent to it
    as ``clipping_norm`` in the configuration.

    Parameters
    ----------
    strategy, noise_multiplier, clipping_norm, num_sampled_clients, accountant
        As for :class:`DifferentialPrivacyServerSideFixedClipping`.
    reclip : bool, default False
        Whether to clip here too: the guarantee then does not depend on the nodes. For updates that
        are clipped already it changes nothing. Without it, longer ones are warned of.
    """

    _server_side: ClassVar[bool] = False
    _title: ClassVar[str] = "Client-Side Fixed Clipping"

    def __init__(
        self,
        strategy: Strategy,
        noise_multiplier: float,
        clipping_norm: float,
        num_sampled_clients: int,
        *,
        accountant: PrivacyAccountant | None = None,
        reclip: bool = False,
    ) -> None:
        super().__init__(
            strategy,
            noise_multiplier,
            clipping_norm,
            num_sampled_clients,
            accountant=accountant,
            reclip=reclip,
        )
