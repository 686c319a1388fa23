"""`FedXgbBagging` of the legacy API."""

from collections.abc import Callable
from typing import Any

import numpy as np

from flwr.app import ArrayRecord, MetricRecord, RecordDict
from flwr.compat.clients.client_manager import ClientManager
from flwr.compat.clients.client_proxy import ClientProxy
from flwr.compat.strategy.fedavg import FitResults
from flwr.compat.strategy.outcomes import as_evaluated
from flwr.compat.strategy.trees import TreeStrategy
from flwr.compat.strategy.updates import number_of
from flwr.compat.typing import FitIns, Parameters, Scalar
from flwr.serverapp.exception import AggregationError
from flwr.serverapp.strategy.fedxgb_bagging import TreeUnion
from flwr.serverapp.strategy.fedxgb_trees import TreeModel
from flwr.serverapp.strategy.replies import Update

EvaluateFunction = Callable[
    [int, Parameters, dict[str, Scalar]], tuple[float, dict[str, Scalar]] | None
]


class FedXgbBagging(TreeStrategy):
    """XGBoost by bagging: each round, the trees that the clients grew join the global model.

    A client boosts the global model by one round or more on its own data and sends back the new
    rounds only, ``bst[n - k : n]``, as ``save_raw("json")`` gives them: the one tensor of its
    parameters. As each client's trees are a full step, divide the learning rate by the number of
    clients.

    Parameters
    ----------
    evaluate_function : Callable, optional
        ``(server_round, parameters, config) -> (loss, metrics) or None``, evaluates on the server;
        it is given the parameters as they are.
    **kwargs
        The arguments of :class:`FedAvg`.

    Attributes
    ----------
    global_model : bytes or None
        The model that was sent out last, then what was made of it.

    Notes
    -----
    The order of trees is that of the clients' nodes. Models whose objective, classes, features or
    parallel trees differ raise ``InconsistentMessageReplies``. The distributed loss is 0.
    """

    def __init__(self, evaluate_function: EvaluateFunction | None = None, **kwargs: Any) -> None:
        self.evaluate_function = evaluate_function
        self.global_model: bytes | None = None
        self._parsed_model: TreeModel | None = None  # the last global model, parsed once
        super().__init__(**kwargs)

    def evaluate(
        self, server_round: int, parameters: Parameters
    ) -> tuple[float, dict[str, Scalar]] | None:
        """Evaluate a model with ``evaluate_function``."""
        function = self.evaluate_function
        if function is None:
            return None
        return as_evaluated(function(server_round, parameters, {}), function)

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        """Draw the clients that train; trees are added to the model that they are sent."""
        self.global_model = next(iter(parameters.tensors), None)
        return super().configure_fit(server_round, parameters, client_manager)

    def _model_of_results(self, server_round: int, results: FitResults) -> Parameters | None:
        trees = TreeUnion("aggregate_fit", self._base())
        for place, (client, result) in enumerate(results):
            for tensor in result.parameters.tensors:
                trees.add(_update(number_of(client, place), tensor))
        model = trees.finish()
        if model is None:
            return None
        self._parsed_model, self.global_model = model, model.text
        return Parameters(tensor_type="", tensors=[model.text])

    def _base(self) -> TreeModel | None:
        text = self.global_model
        if not text:
            return None
        if self._parsed_model is None or self._parsed_model.text != text:
            try:
                self._parsed_model = TreeModel(text)
            except ValueError as error:
                raise AggregationError(f"The global model cannot be used: {error}.") from error
        return self._parsed_model


def _update(number: int, tensor: bytes) -> Update:
    model = ArrayRecord([np.frombuffer(tensor, np.uint8)])
    return Update(number, RecordDict(), model, "parameters", MetricRecord(), 1.0)
