"""Central differential privacy of the legacy API: what its four wrappers share."""

from abc import abstractmethod
from logging import WARNING
from typing import ClassVar

from flwr.compat.clients.client_manager import ClientManager
from flwr.compat.clients.client_proxy import ClientProxy
from flwr.compat.strategy.fedavg import FedAvg, FitFailures, FitResults
from flwr.compat.strategy.strategy import Strategy
from flwr.compat.strategy.updates import record_of
from flwr.compat.strategy.wrapper import Wrapper, with_config, without_metric
from flwr.compat.typing import FitIns, Parameters, Scalar
from flwr.log import log
from flwr.serverapp.exception import AggregationError
from flwr.serverapp.strategy.clipped_mean import ClippedMean
from flwr.serverapp.strategy.dp_release import (
    KEY_CLIPPING_NORM,
    KEY_NORM_BIT,
    check_averages,
    check_made,
    check_release,
    reducing_by,
    release_rule,
    say_released,
    warn_of_count,
)

_MAKERS = frozenset({"aggregate_fit", "_model_of_results", "_results_to_reduce", "_array_reducer"})


class PrivacyWrapper(Wrapper):
    """Lets another strategy step from a clipped and noised mean instead of its own.

    Parameters
    ----------
    strategy : Strategy
        FedAvg or one that keeps its mean: FedProx, FedAvgM, FedAdagrad, FedAdam, FedYogi,
        FaultTolerantFedAvg, or a subclass of one's own.
    noise_multiplier : float
        The noise's standard deviation in units of ``clipping_norm / num_sampled_clients``.
    clipping_norm : float
        The most that the norm of an update may be.
    num_sampled_clients : int
        How many clients take part in a round.
    reclip : bool, default False
        Whether updates that clients should have clipped are clipped here, too.

    Raises
    ------
    ValueError
        If a value is of a wrong type or out of range, or the strategy is of another kind.
    """

    _server_side: ClassVar[bool]
    _title: ClassVar[str]

    def __init__(
        self,
        strategy: Strategy,
        noise_multiplier: float,
        clipping_norm: float,
        num_sampled_clients: int,
        *,
        reclip: bool = False,
    ) -> None:
        check_averages(strategy, FedAvg, _MAKERS)
        check_release(noise_multiplier, clipping_norm, num_sampled_clients)
        super().__init__(strategy)
        self.noise_multiplier = noise_multiplier
        self.clipping_norm = clipping_norm
        self.num_sampled_clients = num_sampled_clients
        self.reclip = reclip
        self._sent: Parameters | None = None

    def __repr__(self) -> str:
        return f"Differential Privacy Strategy Wrapper ({self._title})"

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        """Let the strategy say who trains; where clients clip, they are sent ``clipping_norm``."""
        self._sent = parameters
        pairs = self.strategy.configure_fit(server_round, parameters, client_manager)
        if pairs and len(pairs) != self.num_sampled_clients:
            log(
                WARNING,
                "configure_fit: %d clients are asked, but num_sampled_clients is %d, for which the "
                "noise is scaled.",
                len(pairs),
                self.num_sampled_clients,
            )
        if self._server_side:
            return pairs
        return with_config(pairs, {KEY_CLIPPING_NORM: float(self.clipping_norm)})

    def aggregate_fit(
        self, server_round: int, results: FitResults, failures: FitFailures
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        """Let the strategy step from the clipped and noised mean; see the class for what that is.

        Raises
        ------
        InconsistentMessageReplies
            If results do not fit together, or not to the model that was sent.
        AggregationError
            If there was no `configure_fit`, or the strategy made a model without its mean.
        """
        if self._sent is None:
            raise AggregationError(
                f"{type(self).__name__} clips what clients changed in the model that they were "
                "sent: `configure_fit` comes before `aggregate_fit`."
            )
        if not results:
            return None, {}
        rule = release_rule(self, clips=self._server_side or self.reclip)
        mean = ClippedMean("aggregate_fit", record_of(self._sent), rule)
        aggregate = self.strategy.aggregate_fit
        kept = self._kept(results)
        with reducing_by(self.strategy, mean, aggregate) as made:
            parameters, metrics = aggregate(server_round, kept, failures)
        check_made(parameters, made, self.strategy, aggregate)
        if not mean.released:
            return None, {}
        warn_of_count(mean)
        say_released(mean, "aggregate_fit: parameters are clipped by value: %.4f.")
        self._adapt(mean)
        return parameters, metrics

    def _kept(self, results: FitResults) -> FitResults:
        """Return results without what `adaptiveclipping_mod` adds; those given stay as they are."""
        return [(client, without_metric(result, KEY_NORM_BIT)) for client, result in results]

    @abstractmethod
    def _adapt(self, mean: ClippedMean) -> None:
        """Choose the bound of the next round."""
