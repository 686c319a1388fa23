"""Results of legacy clients as the reducers below take them."""

from collections.abc import Iterator

from flwr.app import ArrayRecord, MetricRecord, RecordDict, memory
from flwr.compat.clients.client_proxy import ClientProxy
from flwr.compat.parameters import parameters_views
from flwr.compat.typing import FitRes, Parameters, held_record
from flwr.serverapp.strategy.replies import Update

_NAME = "parameters"


def decoded_record(parameters: Parameters) -> ArrayRecord:
    """Return a record of the parameters' values, only for reading; no copy where that can be."""
    record = held_record(parameters)
    if record is not None and not memory.layout_of(record).has_raw:
        return record
    return ArrayRecord(parameters_views(parameters))


def updates_of(results: list[tuple[ClientProxy, FitRes]]) -> Iterator[Update]:
    """Yield one update a result, in order, weighted by its examples."""
    for place, (client, result) in enumerate(results):
        yield Update(
            node_id=getattr(client, "node_id", place),
            content=RecordDict(),
            arrays=decoded_record(result.parameters),
            arrays_name=_NAME,
            metrics=MetricRecord(),
            weight=float(result.num_examples),
        )
