"""`NumPyClient`: a legacy client that takes and gives lists of NumPy arrays."""

from collections.abc import Callable
from functools import cache
from numbers import Integral, Real
from typing import Any

import numpy as np

from flwr.compat.client.client import Client, success
from flwr.compat.client.told import ToldContext
from flwr.compat.parameters import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.compat.typing import (
    EvaluateIns,
    EvaluateRes,
    FitIns,
    FitRes,
    GetParametersIns,
    GetParametersRes,
    GetPropertiesIns,
    GetPropertiesRes,
    NDArrays,
    Parameters,
    Scalar,
)

_FIT = ("Tuple[NDArrays, int, Dict[str, Scalar]]", 'model.get_weights(), 10, {"accuracy": 0.95}')
_EVALUATE = ("Tuple[float, int, Dict[str, Scalar]]", '0.5, 10, {"accuracy": 0.95}')


class NumPyClient(ToldContext):
    """A client of the legacy API that works on NumPy arrays.

    Subclasses override what they can do. Numbers may be NumPy scalars.
    """

    def get_properties(self, config: dict[str, Scalar]) -> dict[str, Scalar]:
        """Return the client's properties."""
        return {}

    def get_parameters(self, config: dict[str, Scalar]) -> NDArrays:
        """Return the client's current parameters."""
        return []

    def fit(
        self, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[NDArrays, int, dict[str, Scalar]]:
        """Train the given parameters on the client's data.

        Parameters
        ----------
        parameters : list of numpy.ndarray
            The current global model; the client's own, to be written to as it likes.
        config : dict
            The server's configuration for this round.

        Returns
        -------
        tuple[list of numpy.ndarray, int, dict]
            The trained model, the number of examples it was trained on, and metrics.
        """
        return [], 0, {}

    def evaluate(
        self, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[float, int, dict[str, Scalar]]:
        """Evaluate the given parameters on the client's data.

        Parameters
        ----------
        parameters : list of numpy.ndarray
            The current global model.
        config : dict
            The server's configuration for this round.

        Returns
        -------
        tuple[float, int, dict]
            The loss, the number of examples it was measured on, and metrics.
        """
        return 0.0, 0, {}

    def to_client(self) -> Client:
        """Return a `Client` that does the same; it implements what this class overrides."""
        own = tuple(
            name
            for name in _CONVERTED
            if getattr(type(self), name) is not getattr(NumPyClient, name)
        )
        return _wrapper_class(own)(self)


def has_get_properties(client: NumPyClient) -> bool:
    """Whether a client's class implements ``get_properties``."""
    return type(client).get_properties is not NumPyClient.get_properties


def has_get_parameters(client: NumPyClient) -> bool:
    """Whether a client's class implements ``get_parameters``."""
    return type(client).get_parameters is not NumPyClient.get_parameters


def has_fit(client: NumPyClient) -> bool:
    """Whether a client's class implements ``fit``."""
    return type(client).fit is not NumPyClient.fit


def has_evaluate(client: NumPyClient) -> bool:
    """Whether a client's class implements ``evaluate``."""
    return type(client).evaluate is not NumPyClient.evaluate


@cache  # a message each makes one
def _wrapper_class(own: tuple[str, ...]) -> Callable[[NumPyClient], Client]:
    """Return the class of clients that implement these methods, and these only."""
    methods = {name: _CONVERTED[name] for name in own}
    return type("NumPyClientWrapper", (Client,), {"__init__": _keep, **methods})


def _keep(self: Any, numpy_client: NumPyClient) -> None:
    self.numpy_client = numpy_client


def _get_properties(self: Any, ins: GetPropertiesIns) -> GetPropertiesRes:
    properties = self.numpy_client.get_properties(config=ins.config)
    if not isinstance(properties, dict):
        where = f"{type(self.numpy_client).__name__}.get_properties"
        raise TypeError(f"{where} did not return a dict, but a {type(properties).__name__}.")
    return GetPropertiesRes(success(), _plain(properties))


def _get_parameters(self: Any, ins: GetParametersIns) -> GetParametersRes:
    parameters = self.numpy_client.get_parameters(config=ins.config)
    where = f"{type(self.numpy_client).__name__}.get_parameters"
    if not isinstance(parameters, list | tuple):
        raise TypeError(
            f"{where} did not return a list of NumPy arrays, but a {type(parameters).__name__}."
        )
    return GetParametersRes(success(), _parameters(list(parameters), where))


def _fit(self: Any, ins: FitIns) -> FitRes:
    client = self.numpy_client
    results = client.fit(parameters_to_ndarrays(ins.parameters), ins.config)
    arrays, examples, metrics = _three(results, client, "fit", _FIT)
    if not isinstance(arrays, list):
        raise _wrong(client, "fit", _FIT, f"Element 0 is a {type(arrays).__name__}, not a list.")
    _check_examples(examples, client, "fit", _FIT)
    parameters = _parameters(arrays, f"{type(client).__name__}.fit")
    return FitRes(success(), parameters, int(examples), _plain(metrics))


def _evaluate(self: Any, ins: EvaluateIns) -> EvaluateRes:
    client = self.numpy_client
    results = client.evaluate(parameters_to_ndarrays(ins.parameters), ins.config)
    loss, examples, metrics = _three(results, client, "evaluate", _EVALUATE)
    loss = _number(loss)
    if isinstance(loss, bool) or not isinstance(loss, Real):
        found = f"Element 0, the loss, is a {type(loss).__name__}, not a float."
        raise _wrong(client, "evaluate", _EVALUATE, found)
    _check_examples(examples, client, "evaluate", _EVALUATE)
    return EvaluateRes(success(), float(loss), int(examples), _plain(metrics))


_CONVERTED: dict[str, Callable[..., Any]] = {
    "get_properties": _get_properties,
    "get_parameters": _get_parameters,
    "fit": _fit,
    "evaluate": _evaluate,
}


def _parameters(arrays: NDArrays, where: str) -> Parameters:
    try:
        return ndarrays_to_parameters(arrays)
    except (TypeError, ValueError, RuntimeError) as error:  # the last is PyTorch's
        error.add_note(f"It is one of the arrays that {where} returned.")
        raise


def _three(
    results: Any, client: NumPyClient, function: str, form: tuple[str, str]
) -> tuple[Any, Any, Any]:
    if not isinstance(results, tuple | list) or len(results) != 3:
        found = f"It returned {_described(results)}."
        raise _wrong(client, function, form, found)
    first, second, metrics = results
    if not isinstance(metrics, dict):
        found = f"Element 2, the metrics, is a {type(metrics).__name__}, not a dict."
        raise _wrong(client, function, form, found)
    return first, _number(second), metrics


def _check_examples(
    examples: Any, client: NumPyClient, function: str, form: tuple[str, str]
) -> None:
    if not isinstance(examples, Integral):
        found = f"Element 1, the number of examples, is a {type(examples).__name__}, not an int."
        raise _wrong(client, function, form, found)


def _described(results: Any) -> str:
    if isinstance(results, tuple | list):
        return f"{len(results)} elements"
    return f"a {type(results).__name__}"


def _number(value: Any) -> Any:
    """Return the plain number of a NumPy scalar or 0-d array, anything else as it is."""
    scalar = isinstance(value, np.generic) or (isinstance(value, np.ndarray) and value.ndim == 0)
    return value.item() if scalar else value


def _plain(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return metrics with Python's numbers in place of NumPy's."""
    return {key: _number(value) for key, value in metrics.items()}


def _wrong(client: NumPyClient, function: str, form: tuple[str, str], found: str) -> TypeError:
    signature, example = form
    return TypeError(
        f"NumPyClient.{function} did not return a tuple with 3 elements of the right types. "
        f"{found} (In class {type(client).__qualname__}.)\n"
        "The returned values should have the following type signature:\n\n"
        f"    {signature}\n\nExample\n-------\n\n    {example}\n"
    )
