"""How much memory a round takes, counted in models."""

import gc
import tracemalloc
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from cases import NUMERIC, Case
from fake_grid import reply
from federations import ask

from flwr.app import Array, ArrayRecord, Message

VALUES = 1 << 20
MODEL = 4 * VALUES  # bytes of float32
REPLIES = 20
BLOCKS = MODEL // 2  # what rules take for blocks of values, whatever the size of a model

numeric_strategies = pytest.mark.parametrize("case", NUMERIC, ids=str)
streaming_strategies = pytest.mark.parametrize("case", [c for c in NUMERIC if c.streams], ids=str)


@pytest.fixture(autouse=True)
def traced() -> Iterator[None]:
    gc.collect()
    tracemalloc.start()
    yield
    tracemalloc.stop()


def large_model(seed: int) -> ArrayRecord:
    values = np.random.default_rng(seed).random(VALUES, np.float32)
    return ArrayRecord({"values": Array(values)})


def large_replies(case: Case) -> Iterator[Message]:
    for node in range(REPLIES):
        yield reply(node + 1, case.reply(large_model(node), node))


def started(case: Case, cls: Any = None) -> Any:
    strategy = case.make(cls)
    ask(strategy, large_model(1000), nodes=REPLIES)
    return strategy


def models_taken() -> float:
    """The most memory that was in use since the peak was reset, beyond what was then."""
    return (tracemalloc.get_traced_memory()[1] - BLOCKS) / MODEL


@streaming_strategies
def test_replies_that_come_one_by_one_are_held_one_by_one(case: Case) -> None:
    strategy = started(case)
    before = tracemalloc.get_traced_memory()[0] / MODEL
    tracemalloc.reset_peak()
    arrays, _ = strategy.aggregate_train(1, large_replies(case))
    # the sum, and a reply with the ndarray that it was made from
    assert models_taken() - before <= 3 + case.state
    assert arrays is not None


@numeric_strategies
def test_aggregating_takes_one_model_beyond_the_replies(case: Case) -> None:
    strategy = started(case)
    replies = list(large_replies(case))
    before = tracemalloc.get_traced_memory()[0] / MODEL
    tracemalloc.reset_peak()
    arrays, _ = strategy.aggregate_train(1, replies)
    assert models_taken() - before <= 1 + case.state
    assert arrays is not None


@numeric_strategies
def test_walking_the_replies_after_super_takes_one_model_more(case: Case) -> None:
    class Walking(case.cls):  # type: ignore[misc, name-defined]
        def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Any:
            aggregated = super().aggregate_train(server_round, replies)
            for each in replies:
                means.append(float(each.content["arrays"]["values"].numpy().mean()))
            return aggregated

    means: list[float] = []
    strategy = started(case, Walking)
    replies = list(large_replies(case))
    before = tracemalloc.get_traced_memory()[0] / MODEL
    tracemalloc.reset_peak()
    strategy.aggregate_train(1, replies)
    assert models_taken() - before <= 2 + case.state
    assert means == pytest.approx([0.5] * REPLIES, abs=0.01)
