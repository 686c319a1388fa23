"""`QFedAvg` of the legacy API."""

from collections.abc import Iterable
from math import inf

from flwr.app import MetricRecord
from flwr.compat.clients.client_manager import ClientManager
from flwr.compat.clients.client_proxy import ClientProxy
from flwr.compat.strategy.fedavg import ConfigFn, EvaluateFn, FedAvg, FitResults
from flwr.compat.strategy.updates import client_name, record_of, updates_of
from flwr.compat.strategy.weights import Weights, held_parameters
from flwr.compat.typing import FitIns, MetricsAggregationFn, Parameters
from flwr.serverapp.strategy.qfedavg import FairMean
from flwr.serverapp.strategy.replies import Update
from flwr.serverapp.strategy.settings import check_range


class QFedAvg(FedAvg):
    """q-FedAvg, Algorithm 2: the higher the loss of a client, the more it counts.

    With ``L = 1 / lr``, client ``k``'s loss ``F_k`` and ``dw_k = L (w - w_k)``:
    ``Delta_k = F_k^q dw_k``, ``h_k = q F_k^(q-1) ||dw_k||^2 + L F_k^q``,
    ``w -= sum(Delta_k) / sum(h_k)``. Numbers of examples do not count.

    ``F_k`` is the loss of the model that the client was sent, on its own data, which it reports
    among its metrics. If not all clients do, the server's own loss of that model, from
    ``evaluate_fn``, stands for all.

    Parameters
    ----------
    q_param : float, default 0.2
        ``q``, 0 or more.
    qffl_learning_rate : float, default 0.1
        ``lr``, with which the clients train.
    fraction_fit, fraction_evaluate
        As for :class:`FedAvg`.
    min_fit_clients, min_evaluate_clients, min_available_clients : int, default 1
        As for :class:`FedAvg`.
    evaluate_fn, on_fit_config_fn, on_evaluate_config_fn, accept_failures
        As for :class:`FedAvg`.
    initial_parameters
        As for :class:`FedAvg`.
    fit_metrics_aggregation_fn, evaluate_metrics_aggregation_fn
        As for :class:`FedAvg`.
    train_loss_key : str, default "train_loss"
        The metric that holds a client's loss.

    Attributes
    ----------
    learning_rate : float
        ``lr``.
    pre_weights : list of np.ndarray or None
        The model that was sent out last.

    Notes
    -----
    Li et al., Fair Resource Allocation in Federated Learning, https://arxiv.org/abs/1905.10497
    """

    pre_weights = Weights()

    def __init__(
        self,
        *,
        q_param: float = 0.2,
        qffl_learning_rate: float = 0.1,
        fraction_fit: float = 1.0,
        fraction_evaluate: float = 1.0,
        min_fit_clients: int = 1,
        min_evaluate_clients: int = 1,
        min_available_clients: int = 1,
        evaluate_fn: EvaluateFn | None = None,
        on_fit_config_fn: ConfigFn | None = None,
        on_evaluate_config_fn: ConfigFn | None = None,
        accept_failures: bool = True,
        initial_parameters: Parameters | None = None,
        fit_metrics_aggregation_fn: MetricsAggregationFn | None = None,
        evaluate_metrics_aggregation_fn: MetricsAggregationFn | None = None,
        train_loss_key: str = "train_loss",
    ) -> None:
        check_range("q_param", q_param)
        check_range("qffl_learning_rate", qffl_learning_rate)
        if qffl_learning_rate == 0:
            raise ValueError("qffl_learning_rate must be above 0: q-FedAvg divides by it.")
        super().__init__(
            fraction_fit=fraction_fit,
            fraction_evaluate=fraction_evaluate,
            min_fit_clients=min_fit_clients,
            min_evaluate_clients=min_evaluate_clients,
            min_available_clients=min_available_clients,
            evaluate_fn=evaluate_fn,
            on_fit_config_fn=on_fit_config_fn,
            on_evaluate_config_fn=on_evaluate_config_fn,
            accept_failures=accept_failures,
            initial_parameters=initial_parameters,
            fit_metrics_aggregation_fn=fit_metrics_aggregation_fn,
            evaluate_metrics_aggregation_fn=evaluate_metrics_aggregation_fn,
        )
        self.learning_rate = qffl_learning_rate
        self.q_param = q_param
        self.train_loss_key = train_loss_key
        self.pre_weights = None

    def __repr__(self) -> str:
        return (
            f"QffedAvg(learning_rate={self.learning_rate}, q_param={self.q_param}, "
            f"pre_weights={self.pre_weights})"
        )

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        """Draw the clients that train; the model that they are sent is kept."""
        self.pre_weights = parameters
        return super().configure_fit(server_round, parameters, client_manager)

    def _results_to_reduce(self, server_round: int, results: FitResults) -> Iterable[Update]:
        losses = self._client_losses(server_round, results)
        updates = updates_of(results, weighted=False)
        for update, loss in zip(updates, losses, strict=True):
            yield update._replace(metrics=MetricRecord({self.train_loss_key: loss}))

    def _array_reducer(self, phase: str, together: int) -> FairMean:
        return FairMean(
            phase,
            record_of(self._sent_parameters()),
            self.q_param,
            self.learning_rate,
            lambda update: float(update.metrics[self.train_loss_key]),  # type: ignore[arg-type]  # put there
            together=together,
        )

    def _sent_parameters(self) -> Parameters:
        """Return the model that was sent out.

        Raises
        ------
        AttributeError
            If none was.
        """
        sent = held_parameters(self, "pre_weights")
        if sent is None:
            raise AttributeError(
                "QFedAvg steps from the model that clients were sent, but pre_weights is None: "
                "configure_fit comes before aggregate_fit."
            )
        return sent

    def _client_losses(self, server_round: int, results: FitResults) -> list[float]:
        """Return each client's loss of the model that it was sent.

        Raises
        ------
        ValueError
            If there is none, or it is no number, negative or not finite.
        """
        key = self.train_loss_key
        if all(key in result.metrics for _, result in results):
            return [
                _checked(result.metrics[key], f"'{key}' of client {client_name(client, place)}")
                for place, (client, result) in enumerate(results)
            ]
        evaluated = self.evaluate(server_round, self._sent_parameters())
        if evaluated is None:
            raise ValueError(
                "q-FedAvg needs the loss of the model that the clients were sent: let all of them "
                f"report it as '{key}' among their metrics, or let the server measure it with an "
                "evaluate_fn."
            )
        return [_checked(evaluated[0], "the loss of evaluate_fn")] * len(results)


def _checked(loss: object, what: str) -> float:
    try:
        value = float(loss)  # type: ignore[arg-type]  # tried
    except (TypeError, ValueError):
        value = inf
    if not 0 <= value < inf:
        raise ValueError(
            f"q-FedAvg needs losses that are finite and not negative, but {what} is {loss!r:.60}."
        )
    return value
