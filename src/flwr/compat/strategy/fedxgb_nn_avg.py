"""`FedXgbNnAvg` of the legacy API."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from flwr.compat.strategy.fedavg import FedAvg, FitResults
from flwr.compat.strategy.updates import updates_of
from flwr.compat.typing import Parameters
from flwr.log import warn_deprecated_feature
from flwr.serverapp.strategy.replies import Update


class FedXgbNnAvg(FedAvg):
    """Averages neural networks, and gathers the trees that come beside them. Deprecated.

    The parameters of a client's result are a pair: something whose ``parameters`` are the network,
    a `FitRes` for example, and the client's trees, of whatever kind. The new model is
    ``[parameters, trees]``: the mean of the networks and a list with the trees of all clients.
    ``evaluate_fn`` is given the model as it is.

    Parameters
    ----------
    *args, **kwargs
        The arguments of :class:`FedAvg`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        warn_deprecated_feature("`FedXgbNnAvg` strategy")

    def _model_of_results(self, server_round: int, results: FitResults) -> Any:  # no Parameters
        network = super()._model_of_results(server_round, results)
        pairs: list[Any] = [result.parameters for _, result in results]
        return None if network is None else [network, [trees for _, trees in pairs]]

    def _results_to_reduce(self, server_round: int, results: FitResults) -> Iterable[Update]:
        networks = []
        for client, result in results:
            pair: Any = result.parameters
            networks.append((client, replace(result, parameters=pair[0].parameters)))
        return updates_of(networks)

    def _model_to_evaluate(self, parameters: Parameters) -> Any:  # as it is
        return parameters
