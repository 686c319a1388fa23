"""`DPFedAvgAdaptive`: the older differential privacy of the legacy API, with a moving bound."""

from collections.abc import Mapping
from typing import Any

from flwr.compat.strategy.dpfedavg_fixed import DPFedAvgFixed
from flwr.compat.strategy.fedavg import FitFailures, FitResults
from flwr.compat.strategy.strategy import Strategy
from flwr.compat.strategy.updates import client_name
from flwr.compat.strategy.wrapper import without_metric
from flwr.compat.typing import Parameters, Scalar
from flwr.privacy.adaptive import next_bound, split_noise
from flwr.privacy.settings import check_setting, not_negative, positive, share
from flwr.serverapp.strategy.dp_release import noised_share

KEY_ADAPTIVE = "dpfedavg_adaptive_clip_enabled"
KEY_NORM_BIT = "dpfedavg_norm_bit"


class DPFedAvgAdaptive(DPFedAvgFixed):
    """Noises the models of clients that clip to a bound that follows their norms. Deprecated.

    As :class:`DPFedAvgFixed`; clients tell in the metric ``dpfedavg_norm_bit`` whether an update
    was within the bound ``C``, and after each round ``C *= exp(-lr (share - target))``, where
    ``share`` is the noised share of those that were. The bit is taken out before metrics are
    aggregated. New apps use :class:`DifferentialPrivacyClientSideAdaptiveClipping`.

    Parameters
    ----------
    strategy, num_sampled_clients, server_side_noising
        As for :class:`DPFedAvgFixed`.
    init_clip_norm : float, default 0.1
        The first ``C``.
    noise_multiplier : float, default 1.0
        ``z`` of model and count together, not negative.
    clip_norm_lr : float, default 0.2
        ``lr``.
    clip_norm_target_quantile : float, default 0.5
        The share of updates that should be within the bound, from 0 to 1.
    clip_count_stddev : float, optional
        Of the noise on the count; by default a twentieth of ``num_sampled_clients``, and 0 without
        noise. More than half of ``z``.

    Attributes
    ----------
    clip_norm : float
        The bound of the next round.
    noise_multiplier : float
        What is left of ``z`` for the model.

    Raises
    ------
    ValueError
        If a value is of a wrong type or out of range.

    Notes
    -----
    Andrew et al., Differentially Private Learning with Adaptive Clipping,
    https://arxiv.org/abs/1905.03871
    """

    _feature = "`DPFedAvgAdaptive` wrapper"
    _title = "Strategy with DP with Adaptive Clipping enabled."

    def __init__(
        self,
        strategy: Strategy,
        num_sampled_clients: int,
        init_clip_norm: float = 0.1,
        noise_multiplier: float = 1.0,
        server_side_noising: bool = True,
        clip_norm_lr: float = 0.2,
        clip_norm_target_quantile: float = 0.5,
        clip_count_stddev: float | None = None,
    ) -> None:
        rule = "The learning rate must be positive."
        check_setting("clip_norm_lr", clip_norm_lr, positive, rule)
        rule = "The target quantile must be in [0, 1]."
        check_setting("clip_norm_target_quantile", clip_norm_target_quantile, share, rule)
        if clip_count_stddev is not None:
            rule = "The `clip_count_stddev` must be non-negative."
            check_setting("clip_count_stddev", clip_count_stddev, not_negative, rule)
        super().__init__(
            strategy, num_sampled_clients, init_clip_norm, noise_multiplier, server_side_noising
        )
        self.clip_norm_lr = clip_norm_lr
        self.clip_norm_target_quantile = clip_norm_target_quantile
        self.clip_count_stddev, self.noise_multiplier = split_noise(
            noise_multiplier, num_sampled_clients, clip_count_stddev
        )

    def aggregate_fit(
        self, server_round: int, results: FitResults, failures: FitFailures
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        """Let the strategy aggregate the noised models, and move the bound.

        Raises
        ------
        KeyError
            If a client did not tell whether its update was within the bound.
        AggregationError
            As for :class:`DPFedAvgFixed`.
        """
        if failures or not results:
            return None, {}
        clipped = sum(
            not _within(client_name(client, place), result.metrics)
            for place, (client, result) in enumerate(results)
        )
        kept = [(client, without_metric(result, KEY_NORM_BIT)) for client, result in results]
        aggregated = super().aggregate_fit(server_round, kept, failures)
        self.clip_norm = next_bound(
            self.clip_norm,
            noised_share(clipped, len(results), self.num_sampled_clients, self.clip_count_stddev),
            1 - self.clip_norm_target_quantile,
            self.clip_norm_lr,
        )
        return aggregated

    def state_dict(self) -> dict[str, Any]:
        """Return what the rounds to come depend on, the bound among it."""
        return {**super().state_dict(), "clip_norm": self.clip_norm}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        super().load_state_dict(state)
        self.clip_norm = float(state["clip_norm"])

    def _settings(self) -> dict[str, Scalar]:
        return {**super()._settings(), KEY_ADAPTIVE: True}


def _within(client: str, metrics: Mapping[str, Scalar]) -> bool:
    if KEY_NORM_BIT not in metrics:
        raise KeyError(f"{KEY_NORM_BIT} not returned by client with id {client}.")
    return bool(metrics[KEY_NORM_BIT])
