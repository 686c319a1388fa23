"""What the legacy API's functions take and give: plain data classes, and aliases."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from flwr.app import ArrayRecord

NDArray = npt.NDArray[Any]
NDArrayInt = npt.NDArray[np.int_]
NDArrayFloat = npt.NDArray[np.float64]
NDArrays = list[NDArray]

Scalar = bool | bytes | float | int | str
Value = Scalar | list[bool] | list[bytes] | list[float] | list[int] | list[str]
Metrics = dict[str, Scalar]
Config = dict[str, Scalar]
Properties = dict[str, Scalar]
MetricsAggregationFn = Callable[[list[tuple[int, Metrics]]], Metrics]


EMPTY_TENSOR_KEY = "_empty"  # stands in a record for "no arrays", so that their type survives


class Code(Enum):
    """How a client's function ended."""

    OK = 0
    GET_PROPERTIES_NOT_IMPLEMENTED = 1
    GET_PARAMETERS_NOT_IMPLEMENTED = 2
    FIT_NOT_IMPLEMENTED = 3
    EVALUATE_NOT_IMPLEMENTED = 4


@dataclass
class Status:
    """How a client's function ended, and a word on it."""

    code: Code
    message: str


@dataclass
class Parameters:
    """A model as a list of serialised arrays.

    Parameters
    ----------
    tensors : list of bytes
        One for each array.
    tensor_type : str
        How they are serialised; ``"numpy.ndarray"`` is the .npy format.

    Notes
    -----
    Parameters that come from arrays or messages hold an `ArrayRecord`, and serialise it when
    ``tensors`` is read. From then on the list is all there is, since it may be changed.
    """

    tensors: list[bytes]
    tensor_type: str

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.tensors, self.tensor_type)

    def __copy__(self) -> "Parameters":
        alike = type(self).__new__(type(self))
        alike.__dict__.update(self.__dict__)
        return alike

    def __deepcopy__(self, memo: dict[int, Any]) -> "Parameters":
        alike = self.__copy__()
        alike._hold(list(self._held) if isinstance(self._held, list) else self._held.copy())
        return alike

    def _hold(self, held: list[bytes] | ArrayRecord) -> None:
        self._held: list[bytes] | ArrayRecord = held


def _get_tensors(parameters: Parameters) -> list[bytes]:
    if isinstance(parameters._held, ArrayRecord):
        arrays = parameters._held.items()
        parameters._hold([array.data for name, array in arrays if name != EMPTY_TENSOR_KEY])
    assert isinstance(parameters._held, list)
    return parameters._held


# A field of a dataclass that is computed: set after the decorator has seen the class.
Parameters.tensors = property(_get_tensors, Parameters._hold)  # type: ignore[assignment]  # a list


def lazy_parameters(record: ArrayRecord, tensor_type: str) -> Parameters:
    """Return parameters over a record, which must not change any more."""
    parameters = Parameters([], tensor_type)
    parameters._hold(record)
    return parameters


def held_record(parameters: Parameters) -> ArrayRecord | None:
    """Return the record that parameters hold as long as nobody has read their ``tensors``."""
    held = getattr(parameters, "_held", None)  # whatever has `tensors` will do
    return held if isinstance(held, ArrayRecord) else None


@dataclass
class GetParametersIns:
    """Ask a client for its parameters."""

    config: Config


@dataclass
class GetParametersRes:
    """A client's parameters."""

    status: Status
    parameters: Parameters


@dataclass
class FitIns:
    """Ask a client to train."""

    parameters: Parameters
    config: dict[str, Scalar]


@dataclass
class FitRes:
    """What a client trained."""

    status: Status
    parameters: Parameters
    num_examples: int
    metrics: dict[str, Scalar]


@dataclass
class EvaluateIns:
    """Ask a client to evaluate."""

    parameters: Parameters
    config: dict[str, Scalar]


@dataclass
class EvaluateRes:
    """What a client measured."""

    status: Status
    loss: float
    num_examples: int
    metrics: dict[str, Scalar]


@dataclass
class GetPropertiesIns:
    """Ask a client for its properties."""

    config: Config


@dataclass
class GetPropertiesRes:
    """A client's properties."""

    status: Status
    properties: Properties


@dataclass
class ReconnectIns:
    """Tell a client to come back after some seconds, or not at all."""

    seconds: int | None


@dataclass
class DisconnectRes:
    """Why a client leaves."""

    reason: str


@dataclass
class ServerMessage:
    """One of the instructions above."""

    get_properties_ins: GetPropertiesIns | None = None
    get_parameters_ins: GetParametersIns | None = None
    fit_ins: FitIns | None = None
    evaluate_ins: EvaluateIns | None = None


@dataclass
class ClientMessage:
    """One of the results above."""

    get_properties_res: GetPropertiesRes | None = None
    get_parameters_res: GetParametersRes | None = None
    fit_res: FitRes | None = None
    evaluate_res: EvaluateRes | None = None
