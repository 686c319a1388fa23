"""The model that a strategy of ours steps from, and its moments, as users read and write them."""

from typing import overload

import numpy as np

from flwr.compat.parameters import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.compat.strategy.updates import by_place
from flwr.compat.typing import NDArrays, Parameters
from flwr.serverapp.strategy.serversteps import Arrays, Moment


class Weights:
    """An attribute that holds a model as a list of arrays, or None.

    It is set to parameters without opening them: they are when the attribute is first read.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, strategy: None, owner: type) -> "Weights": ...
    @overload
    def __get__(self, strategy: object, owner: type) -> NDArrays | None: ...
    def __get__(self, strategy: object | None, owner: type) -> "Weights | NDArrays | None":
        if strategy is None:
            return self
        held: NDArrays | Parameters | None = vars(strategy).get(self._name)
        if isinstance(held, Parameters):
            held = parameters_to_ndarrays(held)
            vars(strategy)[self._name] = held
        return held

    def __set__(self, strategy: object, model: NDArrays | Parameters | None) -> None:
        vars(strategy)[self._name] = model


def held_by_place(strategy: object, name: str) -> dict[str, np.ndarray] | None:
    """Return what a `Weights` attribute holds by place, only for reading; not copied."""
    held = vars(strategy).get(name)
    return None if held is None else by_place(held)


def held_parameters(strategy: object, name: str) -> Parameters | None:
    """Return what a `Weights` attribute holds as parameters."""
    held = vars(strategy).get(name)
    return ndarrays_to_parameters(held) if isinstance(held, list) else held


def moment_of(arrays: NDArrays | None) -> Moment:
    """Return a moment as server steps take it."""
    return {} if arrays is None else by_place(arrays)


def arrays_of(moment: Moment, model: Arrays) -> NDArrays:
    """Return a moment as a list, one array for each of the model's: zeros where it has none."""
    return [
        moment[name] if name in moment else np.zeros(array.shape) for name, array in model.items()
    ]
