"""`FedAvgAndroid` of the legacy API."""

from collections.abc import Iterable

import numpy as np

from flwr.app import ArrayRecord, memory
from flwr.compat.strategy.fedavg import (
    ConfigFn,
    EvaluateFn,
    EvaluateResults,
    FedAvg,
    FitResults,
)
from flwr.compat.strategy.updates import Result, client_name, examples_of, number_of, updates_from
from flwr.compat.typing import MetricsAggregationFn, NDArray, NDArrays, Parameters, Scalar
from flwr.serverapp.strategy.replies import Update

_TENSOR_TYPE = "numpy.nda"


class FedAvgAndroid(FedAvg):
    """Federated averaging of models that travel as raw float32 values.

    A tensor is the values of one array in this machine's byte order: no header, no shape, no
    dtype. Metrics are left out.

    Parameters
    ----------
    fraction_fit, fraction_evaluate, min_fit_clients, min_evaluate_clients, min_available_clients
        As for :class:`FedAvg`.
    evaluate_fn, on_fit_config_fn, on_evaluate_config_fn, accept_failures, initial_parameters
        As for :class:`FedAvg`.
    """

    def __init__(
        self,
        *,
        fraction_fit: float = 1.0,
        fraction_evaluate: float = 1.0,
        min_fit_clients: int = 2,
        min_evaluate_clients: int = 2,
        min_available_clients: int = 2,
        evaluate_fn: EvaluateFn | None = None,
        on_fit_config_fn: ConfigFn | None = None,
        on_evaluate_config_fn: ConfigFn | None = None,
        accept_failures: bool = True,
        initial_parameters: Parameters | None = None,
    ) -> None:
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
        )

    def __repr__(self) -> str:
        return f"FedAvg(accept_failures={self.accept_failures})"

    def ndarrays_to_parameters(self, ndarrays: NDArrays) -> Parameters:
        """Return arrays as parameters: their values as they are, so they should be float32."""
        return Parameters([self.ndarray_to_bytes(array) for array in ndarrays], _TENSOR_TYPE)

    def parameters_to_ndarrays(self, parameters: Parameters) -> NDArrays:
        """Return parameters as one-dimensional float32 arrays."""
        return [self.bytes_to_ndarray(tensor) for tensor in parameters.tensors]

    def ndarray_to_bytes(self, ndarray: NDArray) -> bytes:
        """Return the values of an array, row by row."""
        return ndarray.tobytes()

    def bytes_to_ndarray(self, tensor: bytes) -> NDArray:
        """Return values as a one-dimensional float32 array, only for reading."""
        return np.frombuffer(tensor, dtype=np.float32)

    def _results_to_reduce(self, server_round: int, results: FitResults) -> Iterable[Update]:
        return updates_from(
            [
                Result(
                    number=number_of(client, place),
                    name=f"client {client_name(client, place)}",
                    model=self.parameters_to_ndarrays(result.parameters),
                    weight=examples_of(client, place, result.num_examples),
                )
                for place, (client, result) in enumerate(results)
            ]
        )

    def _server_step(self, server_round: int, reduced: ArrayRecord) -> Parameters:
        return self.ndarrays_to_parameters(memory.views(reduced))

    def _aggregated_metrics(
        self,
        phase: str,
        function: MetricsAggregationFn | None,
        server_round: int,
        results: FitResults | EvaluateResults,
    ) -> dict[str, Scalar]:
        return {}

    def _model_to_evaluate(self, parameters: Parameters) -> NDArrays:
        return self.parameters_to_ndarrays(parameters)
