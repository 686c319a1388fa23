"""Rounds of a wrapper whose nodes send back what a test says."""

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from fake_grid import FakeGrid, content, reply

from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord
from flwr.serverapp.strategy import Strategy

Model = Sequence[object]


def model_of(values: Model, dtype: str = "float64") -> ArrayRecord:
    """Arrays "0", "1", ... of the given values."""
    return ArrayRecord([np.asarray(value, dtype) for value in values])


def answers(
    models: Iterable[Model | ArrayRecord | Error],
    examples: Sequence[float] | None = None,
    metrics: Sequence[Mapping[str, Any]] | None = None,
) -> list[Message]:
    """One reply a node; the nodes are 1, 2, ..."""
    replies = []
    for index, model in enumerate(models):
        if isinstance(model, Error):
            replies.append(reply(index + 1, model))
            continue
        record = model if isinstance(model, ArrayRecord) else model_of(model)
        weight = 1 if examples is None else examples[index]
        more = {} if metrics is None else metrics[index]
        replies.append(reply(index + 1, content(record, weight, **more)))
    return replies


def round_of(
    strategy: Strategy,
    initial: ArrayRecord,
    replies: Iterable[Message],
    *,
    server_round: int = 1,
    nodes: int | None = None,
) -> tuple[ArrayRecord | None, MetricRecord | None]:
    """Configure a round for as many nodes as there are replies, and aggregate them."""
    replies = replies if isinstance(replies, list) else list(replies)
    grid = FakeGrid(range(1, (nodes or max(2, len(replies))) + 1))
    list(strategy.configure_train(server_round, initial, ConfigRecord(), grid))
    return strategy.aggregate_train(server_round, replies)


def values_of(record: ArrayRecord | None) -> list[np.ndarray]:
    """The arrays, in order."""
    assert record is not None
    return record.to_numpy_ndarrays()


def named(**values: object) -> ArrayRecord:
    """Arrays by name, of the dtype that they have."""
    return ArrayRecord({name: Array(np.asarray(value)) for name, value in values.items()})


def warnings_in(records: Iterable[logging.LogRecord]) -> list[str]:
    """The texts of warnings."""
    return [record.getMessage() for record in records if record.levelno == logging.WARNING]


def unit(size: int, length: float = 1.0) -> np.ndarray:
    """A vector of a given length, all values the same."""
    return np.full(size, length / math.sqrt(size))
