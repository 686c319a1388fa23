"""Results of legacy clients as the reducers below take them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf
from numbers import Real
from typing import Any

import numpy as np

from flwr.app import ArrayRecord, MetricRecord, RecordDict, memory
from flwr.app.layout import NUMPY_STYPE, Layout
from flwr.app.npy import decode
from flwr.compat.clients.client_proxy import ClientProxy
from flwr.compat.typing import FitRes, NDArrays, Parameters, held_record, lazy_parameters
from flwr.serverapp.exception import InconsistentMessageReplies
from flwr.serverapp.strategy.replies import Update

_NAME = "parameters"
_NOTHING, _NO_METRICS = RecordDict(), MetricRecord()

Model = ArrayRecord | Sequence[np.ndarray]


class InconsistentResultsError(InconsistentMessageReplies, ValueError):
    """Results of one round do not fit together, or what a client reports is no number."""


@dataclass(frozen=True)
class Result:
    """What is aggregated of a client's result.

    Attributes
    ----------
    number : int
        The client's node; without one, its place among the results.
    name : str
        What the client is called in errors.
    model : ArrayRecord or sequence of np.ndarray
        Its arrays, only for reading.
    weight : float
        How much it counts.
    """

    number: int
    name: str
    model: Model
    weight: float


def updates_of(
    results: Sequence[tuple[ClientProxy, FitRes]], *, weighted: bool = True
) -> Iterator[Update]:
    """Yield one update a result, in order; see `updates_from`.

    Parameters
    ----------
    results : sequence of (ClientProxy, FitRes)
        The results of a round.
    weighted : bool, default True
        Whether they count as much as their examples, or all the same.
    """
    return updates_from(
        [
            Result(
                number=number_of(client, place),
                name=f"client {client_name(client, place)}",
                model=model_of(result.parameters),
                weight=examples_of(client, place, result.num_examples) if weighted else 1.0,
            )
            for place, (client, result) in enumerate(results)
        ]
    )


def updates_from(results: Sequence[Result]) -> Iterator[Update]:
    """Yield one update a result, in order.

    An array that differs in dtype between clients is brought to the dtype that can hold all.

    Raises
    ------
    InconsistentResultsError
        If the clients' arrays differ in number or shape.
    """
    layouts = {_layout(result.model) for result in results}
    dtypes = _common_dtypes(results) if len(layouts) > 1 else None
    for result in results:
        yield Update(
            node_id=result.number,
            content=_NOTHING,
            arrays=_record(result.model, dtypes),
            arrays_name=_NAME,
            metrics=_NO_METRICS,
            weight=result.weight,
        )


def client_name(client: object, place: int) -> str:
    """Return what a client is called; without a ``cid``, its place."""
    name = getattr(client, "cid", None)
    return name if isinstance(name, str) else str(place)


def number_of(client: object, place: int) -> int:
    """Return the client's node; without one, its place."""
    node_id = getattr(client, "node_id", None)
    return node_id if isinstance(node_id, int) else place


def examples_of(client: ClientProxy, place: int, count: object) -> float:
    """Return how much a client's result counts.

    Raises
    ------
    InconsistentResultsError
        If that is no number, negative or not finite.
    """
    if isinstance(count, Real) and 0 <= float(count) < inf:
        return float(count)
    raise InconsistentResultsError(
        f"Client {client_name(client, place)} reports num_examples={count!r:.60}: it must be a "
        "number, finite and not negative."
    )


def model_of(parameters: Parameters) -> Model:
    """Return the arrays of parameters, only for reading; no copy.

    Raises
    ------
    ValueError
        If the bytes are no array in the .npy format, or hold Python objects.
    """
    record = held_record(parameters)
    if record is None:
        return [decode(tensor) for tensor in parameters.tensors]
    layout = memory.layout_of(record)
    if not layout.has_raw:
        return record
    if all(entry.stype == NUMPY_STYPE for entry in layout.entries):
        return memory.views(record)
    return [decode(tensor) for tensor in parameters.tensors]


def record_of(parameters: Parameters) -> ArrayRecord:
    """Return a record of the parameters' values, only for reading."""
    return _record(model_of(parameters), None)


def by_place(model: Parameters | NDArrays) -> dict[str, np.ndarray]:
    """Return arrays under the names that they have in records: "0", "1", and so on."""
    arrays: Any = model_of(model) if isinstance(model, Parameters) else model
    if isinstance(arrays, ArrayRecord):
        arrays = memory.views(arrays)
    return {str(place): np.asarray(array) for place, array in enumerate(arrays)}


def as_parameters(record: ArrayRecord) -> Parameters:
    """Return parameters over a record that a reducer made, which must not change any more."""
    return lazy_parameters(record, NUMPY_STYPE)


def _layout(model: Model) -> Layout:
    if isinstance(model, ArrayRecord):
        return memory.layout_of(model)
    return Layout.of([str(place) for place in range(len(model))], model)


def _record(model: Model, dtypes: list[np.dtype] | None) -> ArrayRecord:
    if dtypes is None:
        return model if isinstance(model, ArrayRecord) else ArrayRecord(list(model))
    arrays = _arrays(model)
    if isinstance(model, ArrayRecord) and [array.dtype for array in arrays] == dtypes:
        return model
    return ArrayRecord([a.astype(d, copy=False) for a, d in zip(arrays, dtypes, strict=True)])


def _arrays(model: Model) -> Sequence[np.ndarray]:
    return memory.views(model) if isinstance(model, ArrayRecord) else model


def _common_dtypes(results: Sequence[Result]) -> list[np.dtype]:
    """Return the dtype of each array that holds all clients' values; check that shapes fit."""
    models = [_arrays(result.model) for result in results]
    for result, model in zip(results, models, strict=True):
        if len(model) != len(models[0]):
            raise InconsistentResultsError(
                f"The result of {result.name} has {len(model)} arrays, that of {results[0].name} "
                f"has {len(models[0])}."
            )
        for place, (array, first) in enumerate(zip(model, models[0], strict=True)):
            if array.shape != first.shape:
                raise InconsistentResultsError(
                    f"Array {place} of {result.name} has shape {array.shape}, that of "
                    f"{results[0].name} has {first.shape}."
                )
    return [
        _common_dtype(place, [model[place].dtype for model in models])
        for place in range(len(models[0]))
    ]


def _common_dtype(place: int, dtypes: list[np.dtype]) -> np.dtype:
    kinds = {dtype.newbyteorder("=") for dtype in dtypes}
    if len(kinds) == 1:
        return dtypes[0]
    try:
        common = np.result_type(*kinds)
    except TypeError:
        common = np.dtype(object)
    if common.kind in "OSUV" and not common.name.startswith(("bfloat", "float")):
        shown = ", ".join(sorted(map(str, kinds)))
        raise InconsistentResultsError(
            f"Array {place} has dtypes that do not go together: {shown}."
        )
    return common
