"""Reducers: one order of sums, whatever the way replies come in; their memory; merging."""

import gc
import json
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from fake_grid import AbleGrid, arrays_of, content, echo, replies
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict, memory
from flwr.app.layout import Layout
from flwr.serverapp.exception import InconsistentMessageReplies
from flwr.serverapp.strategy import FedAvg
from flwr.serverapp.strategy.metrics import MetricMean, aggregate_metricrecords
from flwr.serverapp.strategy.reducers import TOGETHER, ArrayMean
from flwr.serverapp.strategy.replies import ReplyReader, Update

DATA = Path(__file__).parents[2] / "data" / "strategies.json"
VECTORS = {vector["id"]: vector for vector in json.loads(DATA.read_text())["vectors"]}
LARGE = 40_000  # float32 values: beyond what is copied or fits one block


def random_records(count: int, size: int, seed: int = 1) -> list[ArrayRecord]:
    generator = np.random.default_rng(seed)
    return [ArrayRecord([generator.standard_normal(size, dtype=np.float32)]) for _ in range(count)]


def updates(records: list[ArrayRecord], weights: list[float]) -> list[Update]:
    answers = [content(record, weight) for record, weight in zip(records, weights, strict=True)]
    reader = ReplyReader("test", "num-examples", with_arrays=True)
    return list(reader.read(replies(*answers)))


def mean(given: list[Update], together: int = 1) -> np.ndarray:
    reducer = ArrayMean("test", together=together)
    for update in given:
        reducer.add(update)
    record = reducer.finish()
    assert record is not None
    return record.to_numpy_ndarrays()[0]


@pytest.mark.parametrize("vector", ["fedavg-weighted", "fedavg-float32", "fedavg-int64"])
@pytest.mark.parametrize("kind", [list, iter])
def test_vectors(vector: str, kind: Callable[[list[Message]], object]) -> None:
    case = VECTORS[vector]
    dtype = case.get("dtype", "float64")
    [expected_round] = case["rounds"]
    answers = [
        content(
            ArrayRecord([np.array(values, dtype) for values in each["arrays"]]),
            each["num_examples"],
            **each["metrics"],
        )
        for each in expected_round["replies"]
    ]
    arrays, metrics = FedAvg().aggregate_train(1, kind(replies(*answers)))
    assert arrays is not None
    for array, expected in zip(arrays.to_numpy_ndarrays(), expected_round["expected"], strict=True):
        assert array.dtype == np.dtype(dtype)
        np.testing.assert_allclose(array, expected, rtol=case["rtol"])
    assert metrics == pytest.approx(
        expected_round.get("expected_metrics_message_api", {}), rel=case["rtol"]
    )


# --- the order of the sum --------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, LARGE])
@pytest.mark.parametrize("count", [1, 2, 31, 32, 33, 64, 65, 130])
def test_the_bits_do_not_depend_on_how_many_replies_are_at_hand(count: int, size: int) -> None:
    weights = [float(w) for w in np.random.default_rng(2).integers(1, 1000, count)]
    given = updates(random_records(count, size), weights)
    one_by_one = mean(given)
    for together in (2, 7, 32, 50, TOGETHER):
        np.testing.assert_array_equal(mean(given, together), one_by_one)


def test_the_sum_is_in_groups_of_32_in_the_order_of_the_replies() -> None:
    records, weights = random_records(70, LARGE), [float(w) for w in range(3, 73)]
    total = None
    for first in range(0, 70, 32):
        group = None
        for record, weight in zip(records[first:][:32], weights[first:][:32], strict=True):
            term = record.to_numpy_ndarrays()[0] * np.float32(weight / weights[first])
            group = term if group is None else group + term
        term = group * np.float32(weights[first] / weights[0])
        total = term if total is None else total + term
    expected = total / np.float32(sum(weights) / weights[0])
    np.testing.assert_allclose(mean(updates(records, weights)), expected, rtol=3e-7, atol=1e-9)


def test_groups_keep_float32_accurate() -> None:
    records = [arrays_of(np.full(8, 0.1, np.float32))] * 1000
    result = mean(updates(records, [1.0] * 1000))
    np.testing.assert_allclose(result, np.float32(0.1), rtol=5e-7)


def test_a_list_and_a_stream_give_the_same_bits() -> None:
    answers = [content(record, 3) for record in random_records(40, LARGE)]
    listed, _ = FedAvg().aggregate_train(1, replies(*answers))
    streamed, _ = FedAvg().aggregate_train(1, iter(replies(*answers)))
    assert listed == streamed


@settings(max_examples=40, deadline=None)
@given(
    weights=st.lists(st.integers(0, 2**40), min_size=1, max_size=70).filter(any),
    dtypes=st.lists(
        st.sampled_from(["f4", "f8", "f2", "i4", "i8", "u1", "?", ">f4", "c8"]), min_size=1
    ),
)
def test_any_mix_of_dtypes_is_the_weighted_mean(weights: list[int], dtypes: list[str]) -> None:
    generator = np.random.default_rng(len(weights))
    models = [
        [generator.integers(0, 2 if dtype == "?" else 100, 5).astype(dtype) for dtype in dtypes]
        for _ in weights
    ]
    answers = [content(ArrayRecord(m), w) for m, w in zip(models, weights, strict=True)]
    listed, _ = FedAvg().aggregate_train(1, replies(*answers))
    streamed, _ = FedAvg().aggregate_train(1, iter(replies(*answers)))
    assert listed == streamed
    assert listed is not None
    for position, array in enumerate(listed.to_numpy_ndarrays()):
        exact = np.average(
            np.array([model[position].astype(np.complex128) for model in models]),
            axis=0,
            weights=weights,
        )
        assert array.dtype == np.dtype(dtypes[position])
        if array.dtype.kind == "b":
            clear = np.abs(exact.real - 0.5) > 1e-9
            np.testing.assert_array_equal(array[clear], exact.real[clear] > 0.5)
        elif array.dtype.kind in "iu":
            assert np.abs(array - exact.real).max() <= 0.5 + 1e-9
        else:
            rtol = 1e-3 if array.dtype.itemsize == 2 else 1e-5
            smallest = float(np.finfo(array.dtype).smallest_subnormal)
            np.testing.assert_allclose(array, exact, rtol=rtol, atol=smallest)


# --- merging ---------------------------------------------------------------------------------


def test_merged_groups_have_the_bits_of_one_reducer() -> None:
    given = updates(random_records(96, LARGE), [float(w) for w in range(1, 97)])
    whole = mean(given)
    merged = ArrayMean("test")
    for first in range(0, 96, 32):
        part = ArrayMean("test", together=TOGETHER)
        for update in given[first : first + 32]:
            part.add(update)
        merged.merge(part)
        assert part.finish() is None
    record = merged.finish()
    assert record is not None
    np.testing.assert_array_equal(record.to_numpy_ndarrays()[0], whole)


def test_merged_parts_of_any_size_have_the_same_mean() -> None:
    given = updates(random_records(50, 100), [float(w) for w in range(1, 51)])
    merged = ArrayMean("test")
    for first, last in ((0, 7), (7, 7), (7, 45), (45, 50)):
        part = ArrayMean("test")
        for update in given[first:last]:
            part.add(update)
        merged.merge(part)
    record = merged.finish()
    assert record is not None
    np.testing.assert_allclose(record.to_numpy_ndarrays()[0], mean(given), rtol=1e-5, atol=1e-6)


def test_parts_of_large_whole_numbers_merge_exactly() -> None:
    values = [2**60 + step for step in (1, 4, 9, 30, 3, 7)]
    given = updates([ArrayRecord([np.array([value])]) for value in values], [2.0] * len(values))
    merged = ArrayMean("test")
    for first, last in ((0, 1), (1, 4), (4, 6)):
        part = ArrayMean("test")
        for update in given[first:last]:
            part.add(update)
        merged.merge(part)
    record = merged.finish()
    assert record is not None
    assert record.to_numpy_ndarrays()[0].tolist() == [2**60 + 9]


def test_parts_of_other_arrays_do_not_merge() -> None:
    first, second = ArrayMean("test"), ArrayMean("test")
    first.add(updates([arrays_of([1.0])], [1])[0])
    second.add(updates([arrays_of([1.0, 2.0])], [1])[0])
    with pytest.raises(InconsistentMessageReplies, match="Two partial sums"):
        first.merge(second)


def test_merged_metrics_are_those_of_one_reducer() -> None:
    contents = [content(weight=w, loss=w * 0.5, h=[1.0 * w, 2.0]) for w in (2, 6, 1, 4)]
    reader = ReplyReader("test", "num-examples", with_arrays=False)
    given = [reader.update(node, each) for node, each in enumerate(contents)]
    parts = [MetricMean("test", "num-examples") for _ in range(3)]
    for part, span in zip(parts, (given[:1], given[1:1], given[1:]), strict=True):
        for update in span:
            part.add(update)
    for part in parts[1:]:
        parts[0].merge(part)
    merged = parts[0].finish()
    expected = aggregate_metricrecords(contents, "num-examples")
    assert merged is not None
    assert list(merged) == list(expected)
    for name in expected:
        assert merged[name] == pytest.approx(expected[name])


def test_parts_with_other_metrics_do_not_merge() -> None:
    first, second = MetricMean("test", "n"), MetricMean("test", "n")
    reader = ReplyReader("test", "n", with_arrays=False)
    first.add(reader.update(1, RecordDict({"m": MetricRecord({"n": 1, "a": 1.0})})))
    second.add(reader.update(2, RecordDict({"m": MetricRecord({"n": 1, "b": 1.0})})))
    with pytest.raises(
        InconsistentMessageReplies, match="node 2 lacks 'a' and adds 'b', compared with node 1"
    ):
        first.merge(second)


def test_a_reducer_can_be_used_for_many_rounds() -> None:
    reducer = ArrayMean("test")
    assert reducer.finish() is None
    for value in (1.0, 2.0):
        for update in updates([arrays_of([value])] * 3, [1, 2, 3]):
            reducer.add(update)
        assert reducer.finish() == arrays_of([value])


# --- memory ----------------------------------------------------------------------------------


class Slot:
    """Bytes that a reply lies in, and which are gone once nobody holds the reply."""

    def __init__(self, buffer: np.ndarray) -> None:
        self.buffer = buffer

    def open(self) -> np.ndarray:
        return self.buffer


def test_a_stream_is_reduced_with_one_reply_alive_at_a_time() -> None:
    model = np.zeros(LARGE, np.float32)
    layout = Layout.of(["w"], [model])
    alive: weakref.WeakSet[Slot] = weakref.WeakSet()
    most = 0

    def answer(message: Message) -> RecordDict:
        nonlocal most
        if message.metadata.message_type == "evaluate":
            return echo()(message)
        buffer = model.view(np.uint8).copy()
        buffer.setflags(write=False)
        slot = Slot(buffer)
        alive.add(slot)
        most = max(most, len(alive))
        return content(memory.adopt(layout, slot))

    grid = AbleGrid(range(70), answer)
    gc.disable()  # what is alive must not depend on it
    try:
        FedAvg().start(grid, ArrayRecord({"w": Array(model)}), num_rounds=1)
    finally:
        gc.enable()
    assert grid.streamed == 2
    assert most == 1


def test_replies_of_a_round_are_gone_before_the_next_is_asked() -> None:
    alive: weakref.WeakSet[Slot] = weakref.WeakSet()
    model = np.zeros(100, np.float32)
    layout = Layout.of(["w"], [model])
    at_ask: list[int] = []

    class Own(FedAvg):
        def aggregate_train(self, server_round, replies):  # type: ignore[no-untyped-def]
            return super().aggregate_train(server_round, replies)

        def configure_evaluate(self, server_round, arrays, config, grid):  # type: ignore[no-untyped-def]
            at_ask.append(len(alive))
            return super().configure_evaluate(server_round, arrays, config, grid)

    def answer(message: Message) -> RecordDict:
        if message.metadata.message_type == "evaluate":
            return echo()(message)
        buffer = model.view(np.uint8).copy()
        buffer.setflags(write=False)
        slot = Slot(buffer)
        alive.add(slot)
        return content(memory.adopt(layout, slot))

    class Forgetting(AbleGrid):
        def send_and_receive(self, messages, *, timeout=None):  # type: ignore[no-untyped-def]
            got = list(super().send_and_receive(messages, timeout=timeout))
            self.sent.clear()
            return got

    Own().start(Forgetting(range(3), answer), ArrayRecord({"w": Array(model)}), num_rounds=2)
    assert at_ask == [0, 0]


@pytest.mark.parametrize(
    ("kind", "count", "models"), [(iter, 32, 1), (iter, 100, 2), (list, 32, 1), (list, 100, 1)]
)
def test_a_mean_takes_the_memory_of_one_model_or_two(
    kind: Callable[[list[Message]], Iterator[Message]], count: int, models: int
) -> None:
    [record] = random_records(1, 1_000_000)
    given = replies(*[content(record, weight) for weight in range(1, count + 1)])
    FedAvg().aggregate_train(1, kind(given[:1]))  # what is made on first use does not count
    tracemalloc.start()
    try:
        arrays, _ = FedAvg().aggregate_train(1, kind(given))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert arrays is not None
    assert peak < models * 4_000_000 + 1_500_000


def test_no_uninitialised_bytes_are_in_a_result() -> None:
    record = ArrayRecord([np.ones(3, np.uint8), np.ones(2, np.float64), np.ones(1, np.float16)])
    memory.set_allocator(lambda nbytes: np.full(nbytes, 0xAA, np.uint8))
    try:
        arrays, _ = FedAvg().aggregate_train(1, replies(content(record)))
    finally:
        memory.set_allocator(None)
    assert arrays is not None
    assert memory.packed(arrays).tobytes() == memory.packed(record).tobytes()


def test_bytes_that_are_not_aligned_are_summed() -> None:
    values = np.arange(10, dtype=np.float32)
    layout = Layout.of(["w"], [values])
    odd = np.empty(41, np.uint8)
    odd[1:] = values.view(np.uint8)
    record = memory.adopt(layout, odd[1:])
    [array] = FedAvg().aggregate_train(1, replies(content(record)))[0].to_numpy_ndarrays()
    np.testing.assert_array_equal(array, values)
