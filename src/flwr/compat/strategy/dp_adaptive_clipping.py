"""Central differential privacy of the legacy API with a clipping bound that adapts."""

from collections.abc import Mapping
from typing import Any, ClassVar

from flwr.compat.strategy.dp_wrapper import PrivacyWrapper
from flwr.compat.strategy.fedavg import FitResults
from flwr.compat.strategy.strategy import Strategy
from flwr.compat.strategy.updates import client_name
from flwr.privacy.adaptive import next_bound, split_noise
from flwr.serverapp.exception import AggregationError
from flwr.serverapp.strategy.clipped_mean import ClippedMean
from flwr.serverapp.strategy.dp_release import KEY_NORM_BIT, check_adaptation, noised_share


class _AdaptiveClipping(PrivacyWrapper):
    def __init__(
        self,
        strategy: Strategy,
        noise_multiplier: float,
        num_sampled_clients: int,
        initial_clipping_norm: float,
        target_clipped_quantile: float,
        clip_norm_lr: float,
        clipped_count_stddev: float | None,
        *,
        reclip: bool = False,
    ) -> None:
        check_adaptation(
            initial_clipping_norm, target_clipped_quantile, clip_norm_lr, clipped_count_stddev
        )
        super().__init__(
            strategy, noise_multiplier, initial_clipping_norm, num_sampled_clients, reclip=reclip
        )
        self.target_clipped_quantile = target_clipped_quantile
        self.clip_norm_lr = clip_norm_lr
        self.clipped_count_stddev, self.noise_multiplier = split_noise(
            noise_multiplier, num_sampled_clients, clipped_count_stddev
        )

    def state_dict(self) -> dict[str, Any]:
        """Return what the rounds to come depend on, the bound among it."""
        return {**super().state_dict(), "clipping_norm": self.clipping_norm}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        super().load_state_dict(state)
        self.clipping_norm = float(state["clipping_norm"])

    def _adapt(self, mean: ClippedMean) -> None:
        share = noised_share(
            self._clipped(mean),
            len(mean.nodes),
            self.num_sampled_clients,
            self.clipped_count_stddev,
        )
        self.clipping_norm = next_bound(
            self.clipping_norm, share, self.target_clipped_quantile, self.clip_norm_lr
        )

    def _clipped(self, mean: ClippedMean) -> int:
        """Return how many updates were clipped."""
        return mean.clipped


class DifferentialPrivacyServerSideAdaptiveClipping(_AdaptiveClipping):
    """Clips the clients' updates on the server to a bound that follows their norms, and noises.

    As :class:`DifferentialPrivacyServerSideFixedClipping`; after each round the bound becomes
    ``C exp(lr (share - target))``, where ``share`` is the noised share of updates that were
    clipped. The noise is scaled with the bound that clipped. Part of the noise multiplier ``z``
    goes to the count: the model gets ``(z^-2 - (2 sigma_b)^-2)^(-1/2)``, and both together cost one
    release with ``z``.

    Parameters
    ----------
    strategy, noise_multiplier, num_sampled_clients
        As for :class:`DifferentialPrivacyServerSideFixedClipping`.
    initial_clipping_norm : float, default 0.1
        The first ``C``.
    target_clipped_quantile : float, default 0.5
        The share of updates that should be clipped, from 0 to 1.
    clip_norm_lr : float, default 0.2
        ``lr``.
    clipped_count_stddev : float, optional
        ``sigma_b``; by default a twentieth of ``num_sampled_clients``. More than half of ``z``.

    Attributes
    ----------
    clipping_norm : float
        The bound of the next round.
    noise_multiplier : float
        What is left of ``z`` for the model.

    Raises
    ------
    ValueError
        If a value is of a wrong type or out of range, or the strategy is of another kind.

    Notes
    -----
    Andrew et al., Differentially Private Learning with Adaptive Clipping,
    https://arxiv.org/abs/1905.03871. The paper counts the updates that were not clipped; its
    ``gamma`` is ``1 - target``.
    """

    _server_side: ClassVar[bool] = True
    _title: ClassVar[str] = "Server-Side Adaptive Clipping"

    def __init__(
        self,
        strategy: Strategy,
        noise_multiplier: float,
        num_sampled_clients: int,
        initial_clipping_norm: float = 0.1,
        target_clipped_quantile: float = 0.5,
        clip_norm_lr: float = 0.2,
        clipped_count_stddev: float | None = None,
    ) -> None:
        super().__init__(
            strategy,
            noise_multiplier,
            num_sampled_clients,
            initial_clipping_norm,
            target_clipped_quantile,
            clip_norm_lr,
            clipped_count_stddev,
        )


class DifferentialPrivacyClientSideAdaptiveClipping(_AdaptiveClipping):
    """Noises the mean of updates that the clients clipped to a bound that follows their norms.

    As :class:`DifferentialPrivacyServerSideAdaptiveClipping`, but the clipping is done by
    ``adaptiveclipping_mod``, which every ClientApp must have among its mods. The bound is sent to
    it as ``clipping_norm`` in the configuration, and it tells in the metric ``norm_bit`` whether an
    update was clipped; the bit is taken out before metrics are aggregated.

    Parameters
    ----------
    strategy, noise_multiplier, num_sampled_clients
        As for :class:`DifferentialPrivacyServerSideFixedClipping`.
    initial_clipping_norm, target_clipped_quantile, clip_norm_lr, clipped_count_stddev
        As for :class:`DifferentialPrivacyServerSideAdaptiveClipping`.
    reclip : bool, default False
        As for :class:`DifferentialPrivacyClientSideFixedClipping`.
    """

    _server_side: ClassVar[bool] = False
    _title: ClassVar[str] = "Client-Side Adaptive Clipping"

    def __init__(
        self,
        strategy: Strategy,
        noise_multiplier: float,
        num_sampled_clients: int,
        initial_clipping_norm: float = 0.1,
        target_clipped_quantile: float = 0.5,
        clip_norm_lr: float = 0.2,
        clipped_count_stddev: float | None = None,
        *,
        reclip: bool = False,
    ) -> None:
        super().__init__(
            strategy,
            noise_multiplier,
            num_sampled_clients,
            initial_clipping_norm,
            target_clipped_quantile,
            clip_norm_lr,
            clipped_count_stddev,
            reclip=reclip,
        )
        self._bits: list[int] = []

    def _kept(self, results: FitResults) -> FitResults:
        """Keep the bits, and return results without them.

        Raises
        ------
        KeyError
            If a client sent none.
        AggregationError
            If one is no bit.
        """
        self._bits = []
        for place, (client, result) in enumerate(results):
            name = client_name(client, place)
            if KEY_NORM_BIT not in result.metrics:
                raise KeyError(
                    f"{KEY_NORM_BIT} not returned by client with id {name}: put "
                    "`adaptiveclipping_mod` among the mods of the ClientApp."
                )
            bit = result.metrics[KEY_NORM_BIT]
            if bit not in (0, 1):
                raise AggregationError(f"'{KEY_NORM_BIT}' of client {name} is {bit!r}, not 0 or 1.")
            self._bits.append(int(bit == 1))
        return super()._kept(results)

    def _clipped(self, mean: ClippedMean) -> int:
        return sum(self._bits)
