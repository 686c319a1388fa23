"""Walking models side by side: every value once, whatever the layout, and little mapped at once."""

import weakref
from collections.abc import Iterator

import ml_dtypes
import numpy as np
import pytest
from fake_grid import content, replies

from flwr.app import Array, ArrayRecord, Message, memory
from flwr.serverapp.exception import AggregationError, InconsistentMessageReplies
from flwr.serverapp.strategy import columns
from flwr.serverapp.strategy.columns import Columns, Gathered
from flwr.serverapp.strategy.columnwise import Columnwise, median, reduce_columns
from flwr.serverapp.strategy.replies import ReplyReader, Update
from flwr.serverapp.strategy.sums import Part

MIXED = {
    "matrix": np.arange(6, dtype=np.float32).reshape(2, 3) - 2,
    "column by column": np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4) * 2),
    "scalar": np.array(3.5, np.float32),
    "nothing": np.zeros((0, 2), np.float32),
    "half": np.array([0.5, -1.5], np.float16),
    "brain": np.array([0.25, 2.0], ml_dtypes.bfloat16),
    "count": np.array([7, -9], np.int64),
    "flags": np.array([True, False, True]),
    "big-endian": np.array([1.0, 2.5], ">f8"),
    "complex": np.array([1 + 2j, -3j], np.complex64),
}


def updates_of(*records: ArrayRecord) -> list[Update]:
    reader = ReplyReader("test", "num-examples", with_arrays=True)
    return list(reader.read(replies(*(content(record) for record in records))))


def gathered(*records: ArrayRecord) -> Gathered:
    everything = Gathered()
    for update in updates_of(*records):
        everything.add(update)
    return everything


def record_of(arrays: dict[str, np.ndarray]) -> ArrayRecord:
    return ArrayRecord({name: Array(array) for name, array in arrays.items()})


def float64(_: Part) -> np.dtype:
    return np.dtype(np.float64)


def values_of(walked: Columns) -> list[np.ndarray]:
    """All values of each model, as float64 and in the order in which they are walked."""
    blocks = [block.rows.copy() for block in walked.blocks(float64)]
    return list(np.concatenate(blocks, axis=1))


@pytest.fixture(params=[2, 6, 1 << 14], ids=lambda width: f"{width} values a block")
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "_LEAST_WIDTH", request.param)
    monkeypatch.setattr(columns, "_MOST_WIDTH", request.param)


def in_memory_order(arrays: dict[str, np.ndarray]) -> list[float]:
    values = []
    for array in arrays.values():
        flat = array.T.ravel() if array.flags.f_contiguous else array.ravel()
        values += flat.view(np.float32).tolist() if array.dtype.kind == "c" else flat.tolist()
    return [float(value) for value in values]


@pytest.mark.usefixtures("width")
def test_every_value_comes_once_in_the_order_of_its_bytes() -> None:
    first = record_of(MIXED)
    second = record_of({name: (array[::-1] if array.ndim else array)
                        for name, array in MIXED.items()})  # fmt: skip
    walked = values_of(gathered(first, second).columns())
    assert walked[0].tolist() == in_memory_order(MIXED)
    assert sorted(walked[1]) == sorted(walked[0])


@pytest.mark.usefixtures("width")
def test_other_orders_of_names_bytes_and_memory_make_no_difference() -> None:
    plain = record_of(MIXED)
    turned = {name: np.array(array, order="F") for name, array in MIXED.items()}
    turned["column by column"] = np.array(MIXED["column by column"], order="C")
    swapped = {
        name: array if array.dtype.kind in "bV" else array.astype(array.dtype.newbyteorder())
        for name, array in MIXED.items()
    }
    backwards = dict(reversed(list(MIXED.items())))
    verbatim = ArrayRecord(
        {
            name: array
            if name == "brain"
            else Array(
                dtype=str(array.dtype), shape=array.shape, stype=array.stype, data=array.data
            )
            for name, array in plain.items()
        }
    )
    others = [record_of(turned), record_of(swapped), record_of(backwards), verbatim]
    walked = values_of(gathered(plain, *others).columns())
    for other in walked[1:]:
        np.testing.assert_array_equal(other, walked[0])
    [first, *_] = values_of(gathered(verbatim, plain).columns())
    np.testing.assert_array_equal(first, walked[0])


@pytest.mark.usefixtures("width")
def test_plain_lists_of_arrays_are_walked_like_records() -> None:
    model = [array for name, array in MIXED.items() if name != "brain"]
    walked = values_of(Columns.of([model, [np.array(array, order="C") for array in model]]))
    np.testing.assert_array_equal(walked[0], walked[1])
    assert walked[0].tolist() == in_memory_order(dict(enumerate(model)))  # type: ignore[arg-type]


def test_numpy_scalars_are_arrays_without_dimensions() -> None:
    buffer, _ = reduce_columns(Columns.of([[np.float32(1)], [np.float32(2)]]), median)
    assert buffer.view(np.float32).tolist() == [1.5]


def test_lists_that_do_not_fit_are_refused_with_their_numbers() -> None:
    model = [np.zeros(3), np.zeros(2)]
    with pytest.raises(ValueError, match=r"Model 1 has 1 arrays, model 0 has 2\."):
        Columns.of([model, model[:1]])
    with pytest.raises(ValueError, match=r"Array 1 of model 2 is float64 of shape \(1,\)"):
        Columns.of([model, model, [np.zeros(3), np.zeros(1)]])
    with pytest.raises(ValueError, match="Array 0 of model 1 is int64"):
        Columns.of([model, [np.zeros(3, np.int64), np.zeros(2)]])


def test_text_has_no_columns() -> None:
    with pytest.raises(AggregationError, match="'0' has dtype <U1"):
        Columns.of([[np.array(["a"])]])


def test_updates_that_do_not_fit_are_refused_as_they_are_added() -> None:
    everything = gathered(record_of({"a": np.zeros(2)}))
    [misfit] = updates_of(record_of({"a": np.zeros(3)}))
    with pytest.raises(InconsistentMessageReplies, match="'a' .* shape"):
        everything.add(misfit)


def test_gathered_updates_merge_in_order_and_are_handed_out_once() -> None:
    first, second = gathered(record_of({"a": np.zeros(2)})), gathered(record_of({"a": np.ones(2)}))
    expected = first.updates + second.updates
    first.merge(second)
    assert second.finish() is None
    assert first.finish() == expected
    assert first.finish() is None


class Shelf:
    """Memory that is opened anew each time; it counts what is open."""

    open_now = 0
    most_open = 0
    opened = 0

    def __init__(self, content: np.ndarray) -> None:
        self.content = content

    def open(self) -> np.ndarray:
        cls = type(self)
        cls.opened += 1
        cls.open_now += 1
        cls.most_open = max(cls.most_open, cls.open_now)
        view = self.content.view()
        root: np.ndarray = np.frombuffer(view.data, np.uint8)  # nothing else refers to it
        weakref.finalize(root, self._closed)
        return root

    def _closed(self) -> None:
        type(self).open_now -= 1


@pytest.fixture
def shelved() -> Iterator[list[Message]]:
    Shelf.open_now = Shelf.most_open = Shelf.opened = 0
    generator = np.random.default_rng(5)
    records = [ArrayRecord([generator.random(100_000, np.float32)]) for _ in range(6)]
    answers = [
        content(memory.adopt(memory.layout_of(record), Shelf(memory.packed(record))))
        for record in records
    ]
    yield replies(*answers)
    assert Shelf.open_now == 0


def test_replies_are_opened_again_for_every_so_many_bytes_and_never_twice_at_once(
    shelved: list[Message], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(columns, "_LEAST_RESIDENT", 40_000)
    monkeypatch.setattr(columns, "RESIDENT", 0)
    reader = ReplyReader("test", "num-examples", with_arrays=True)
    reducer = Columnwise("test", median)
    for update in reader.read(shelved):
        reducer.add(update)
    assert Shelf.most_open == 1
    before = Shelf.opened
    arrays = reducer.finish()
    assert Shelf.most_open == 6
    assert 6 * 5 <= Shelf.opened - before <= 6 * 10
    assert arrays is not None
    models = [each.content["arrays"].to_numpy_ndarrays()[0] for each in shelved]
    np.testing.assert_array_equal(
        arrays.to_numpy_ndarrays()[0], np.median(models, axis=0).astype(np.float32)
    )
