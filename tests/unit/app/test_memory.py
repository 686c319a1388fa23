import gc
import io
import weakref

import ml_dtypes
import numpy as np
import pytest
from sample_arrays import ARRAYS, assert_same

from flwr.app import Array, ArrayRecord, memory
from flwr.app.layout import Layout


class Shelf:
    """A backing whose bytes can be watched and moved."""

    def __init__(self, content: np.ndarray) -> None:
        self.content = content
        self.times = 0

    def open(self) -> np.ndarray:
        self.times += 1
        view = self.content.view()
        view.setflags(write=False)
        return view


@pytest.fixture
def no_allocator():
    yield
    memory.set_allocator(None)


def loose(*arrays: np.ndarray) -> ArrayRecord:
    return ArrayRecord({str(i): Array(array) for i, array in enumerate(arrays)})


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def on_shelf(*arrays: np.ndarray) -> tuple[ArrayRecord, Shelf]:
    record = loose(*arrays)
    shelf = Shelf(memory.packed(record).copy())
    return memory.adopt(memory.layout_of(record), shelf), shelf


# Packing.


def test_records_of_ndarrays_are_packed():
    arrays = [np.arange(3.0), np.ones((2, 2))]
    record = ArrayRecord(arrays)
    assert memory.is_packed(record)
    content = memory.packed(record)
    assert content.dtype == np.uint8
    assert content.ndim == 1
    assert not content.flags.writeable
    assert content.tobytes() == b"".join(array.tobytes() for array in arrays)
    assert memory.packed(record) is content
    assert memory.backing_of(record) is content
    assert memory.layout_of(record) is Layout.of(("0", "1"), arrays)


def test_loose_records_are_packed_once():
    record = loose(*ARRAYS.values())
    assert not memory.is_packed(record)
    assert memory.backing_of(record) is None
    layout = memory.layout_of(record)
    content = memory.packed(record)
    assert not content.flags.writeable
    assert memory.is_packed(record)
    assert memory.layout_of(record) is layout
    assert memory.packed(record) is content
    assert memory.backing_of(record) is content
    for got, expected in zip(memory.views(record), ARRAYS.values(), strict=True):
        assert_same(got, expected)


def test_arrays_follow_when_a_record_is_packed():
    record = loose(np.arange(3.0))
    array = record["0"]
    content = memory.packed(record)
    assert record["0"] is array
    assert np.shares_memory(memory.views(record)[0], content)
    assert memory.is_packed(record)
    assert array == Array(np.arange(3.0))


def test_loose_and_packed_have_one_layout():
    arrays = [array for name, array in ARRAYS.items() if name != "record array"]
    assert memory.layout_of(loose(*arrays)) is memory.layout_of(ArrayRecord(arrays))


@pytest.mark.parametrize(
    "change",
    [
        lambda r: r.__setitem__("0", Array(np.zeros(1))),
        lambda r: r.__setitem__("new", Array(np.zeros(1))),
        lambda r: r.__delitem__("0"),
        lambda r: r.popitem(),
        lambda r: r.clear(),
        lambda r: setattr(r["0"], "data", b"x"),
        lambda r: setattr(r["0"], "dtype", "x"),
        lambda r: setattr(r["0"], "shape", (9,)),
        lambda r: setattr(r["0"], "stype", "x"),
    ],
)
@pytest.mark.parametrize("make", [lambda *a: ArrayRecord(list(a)), lambda *a: on_shelf(*a)[0]])
def test_a_change_gives_the_content_another_identity(make, change):
    record = make(np.arange(3.0), np.ones(2))
    before = memory.backing_of(record)
    change(record)
    assert memory.backing_of(record) is None
    assert not memory.is_packed(record)
    content = memory.packed(record)
    assert memory.backing_of(record) is content
    assert content is not before
    assert len(memory.frames(record)) == len(record)


def test_looking_at_arrays_is_no_change():
    record = ArrayRecord([np.arange(3.0), np.ones(2)])
    before = memory.backing_of(record)
    for array in record.values():
        array.numpy()[:] = 0
        assert array.data
        assert repr(array)
    record.copy().clear()
    record.to_numpy_ndarrays()
    assert record == ArrayRecord([np.arange(3.0), np.ones(2)])
    assert memory.backing_of(record) is before


def test_changed_fields_travel_verbatim():
    record = ArrayRecord([np.arange(3.0)])
    data = record["0"].data
    record["0"].shape = (3, 1)
    memory.packed(record)
    (entry,) = memory.layout_of(record).entries
    assert (entry.raw, entry.shape, entry.dtype) == (True, (3, 1), "float64")
    assert memory.frames(record)[0].tobytes() == data
    assert record["0"] == Array("float64", (3, 1), "numpy.ndarray", data)


@pytest.mark.parametrize(
    ("field", "value"), [("dtype", 1), ("stype", None), ("data", "text"), ("shape", (-1,))]
)
def test_fields_that_cannot_travel_are_named(field, value):
    record = ArrayRecord([np.arange(3.0)])
    setattr(record["0"], field, value)
    with pytest.raises(TypeError, match=rf"Array '0': its {field} must"):
        memory.packed(record)


# Verbatim data.


def test_verbatim_data_is_kept_and_decoded():
    values = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    bf16 = np.array([1.0, 2.0], ml_dtypes.bfloat16)
    record = ArrayRecord(
        {
            "a": Array(np.ones(3, np.int8)),
            "b": Array("", (), "numpy.ndarray", npy(values)),
            "c": Array("bfloat16", (2,), "numpy.ndarray", npy(bf16.view(np.uint16))),
        }
    )
    data = [array.data for array in record.values()]
    for _ in range(2):  # loose, then packed
        assert_same(memory.views(record)[1], values)
        assert_same(memory.views(record)[2], bf16)
        assert_same(record.to_numpy_ndarrays()[1], values)
        assert memory.frames(record)[1].tobytes() == data[1]
        assert [array.data for array in record.values()] == data
        memory.packed(record)
    assert [entry.raw for entry in memory.layout_of(record).entries] == [False, True, True]
    again = memory.adopt(memory.layout_of(record), Shelf(memory.packed(record)))
    assert again == record
    assert [array.data for array in again.values()] == data
    assert_same(again["b"].numpy(), values)
    assert again.count_bytes() == record.count_bytes() == sum(map(len, data)) + 3


def test_packed_verbatim_data_is_not_copied():
    record = ArrayRecord({"b": Array("", (), "numpy.ndarray", npy(np.arange(6.0)))})
    content = memory.packed(record)
    assert np.shares_memory(memory.views(record)[0], content)
    assert memory.views(record)[0].flags.aligned


@pytest.mark.parametrize("pack", [True, False])
def test_foreign_data_travels_but_has_no_values(pack):
    record = ArrayRecord({"x": Array("", (), "acme", b"\x01\x02")})
    if pack:
        memory.packed(record)
    assert memory.frames(record)[0].tobytes() == b"\x01\x02"
    with pytest.raises(TypeError, match="Unsupported serialization type .* 'acme'"):
        memory.views(record)
    with pytest.raises(TypeError, match="Unsupported serialization type"):
        record.to_numpy_ndarrays()
    with pytest.raises(TypeError, match="Unsupported serialization type"):
        record["x"].numpy()
    assert record["x"].data == b"\x01\x02"


# Adopting.


def test_adopt_does_not_copy():
    layout = Layout.of(("a",), [np.zeros(3)])
    content = np.arange(3.0).view(np.uint8)
    record = memory.adopt(layout, content)
    assert memory.backing_of(record) is content
    assert not content.flags.writeable
    assert np.shares_memory(memory.views(record)[0], content)
    assert record["a"].numpy().tolist() == [0, 1, 2]
    assert type(record) is ArrayRecord


def test_views_and_arrays_are_read_only_inside():
    record = ArrayRecord([np.arange(3.0)])
    with pytest.raises(ValueError, match="read-only"):
        memory.views(record)[0][0] = 9
    with pytest.raises(ValueError, match="read-only"):
        memory.packed(record)[0] = 9


def test_frames_are_views_in_layout_order():
    arrays = [np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.zeros(0), np.ones(2, np.int8)]
    for record in (ArrayRecord(arrays), loose(*arrays)):
        frames = memory.frames(record)
        assert [frame.dtype for frame in frames] == [np.uint8] * 3
        assert [frame.tobytes() for frame in frames] == [a.tobytes(order="A") for a in arrays]
        assert np.shares_memory(frames[0], memory.views(record)[0])
    assert not memory.is_packed(record)


# Lazy backings.


def test_what_a_backing_opens_is_not_kept():
    record, shelf = on_shelf(np.arange(3.0), np.ones((2, 2), order="F"))
    opened = weakref.ref(shelf.content)
    record["0"].numpy()
    list(record.items())
    memory.views(record)
    memory.frames(record)
    record.to_numpy_ndarrays()
    repr(record)
    assert shelf.times > 0
    shelf.content = shelf.content.copy()
    gc.collect()
    assert opened() is None
    assert record["0"].numpy().tolist() == [0, 1, 2]


def test_nothing_is_opened_without_need():
    record, shelf = on_shelf(np.arange(3.0))
    assert memory.is_packed(record)
    assert memory.backing_of(record) is shelf
    assert list(record) == ["0"]
    assert "0" in record
    assert record["0"].shape == (3,)
    assert record.count_bytes() == 128 + 24 + 1
    assert memory.layout_of(record).nbytes == 24
    assert memory.layout_of(record.copy()) is memory.layout_of(record)
    assert shelf.times == 0


def test_a_changed_record_still_opens_what_is_left():
    record, shelf = on_shelf(np.arange(3.0), np.ones(2))
    record["new"] = Array(np.zeros(1))
    assert memory.layout_of(record).names == ("0", "1", "new")
    assert shelf.times == 0
    content = memory.packed(record)
    assert memory.views(record)[0].tolist() == [0, 1, 2]
    assert np.shares_memory(memory.views(record)[0], content)


@pytest.mark.parametrize("handed_out", [False, True])
@pytest.mark.parametrize("lazy", [False, True])
def test_rebase(handed_out, lazy):
    record = ArrayRecord([np.arange(3.0), np.ones((2, 2), order="F")])
    old = weakref.ref(memory.packed(record))
    array = record["0"] if handed_out else None
    content = memory.packed(record).copy()
    new = Shelf(content) if lazy else content
    memory.rebase(record, new)
    gc.collect()
    assert old() is None
    assert memory.backing_of(record) is new
    assert memory.is_packed(record)
    assert record == ArrayRecord([np.arange(3.0), np.ones((2, 2), order="F")])
    if array is not None:
        assert record["0"] is array
        assert array.numpy().tolist() == [0, 1, 2]


def test_a_loose_record_has_no_memory_to_rebase():
    with pytest.raises(ValueError, match="Only a packed record"):
        memory.rebase(loose(np.zeros(2)), np.zeros(16, np.uint8))


# Allocating.


@pytest.mark.usefixtures("no_allocator")
def test_records_take_memory_from_the_allocator():
    arena = np.zeros(1000, np.uint8)
    asked = []

    def allocate(nbytes: int) -> np.ndarray:
        asked.append(nbytes)
        begin = sum(asked[:-1])
        return arena[begin : begin + nbytes]

    memory.set_allocator(allocate)
    first = ArrayRecord([np.arange(3.0), np.ones(2)])
    second = loose(np.ones(4, np.uint8))
    assert asked == [40]
    memory.packed(second)
    memory.packed(first)
    assert asked == [40, 4]
    assert np.shares_memory(memory.packed(first), arena)
    assert np.shares_memory(memory.packed(second), arena)
    assert arena.flags.writeable
    assert not memory.packed(first).flags.writeable
    arena[:8] = np.array([9.0]).view(np.uint8)
    assert first["0"].numpy().tolist() == [9, 1, 2]


def test_without_one_numpy_allocates():
    memory.set_allocator(None)
    buffer = memory.allocate(10)
    assert (buffer.dtype, buffer.shape, buffer.flags.writeable) == (np.uint8, (10,), True)


# Names of dtypes.


@pytest.mark.parametrize("name", [*ARRAYS])
def test_dtype_of_is_the_inverse_of_an_entry(name):
    array = ARRAYS[name]
    (entry,) = memory.layout_of(ArrayRecord([array])).entries
    assert memory.dtype_of(entry.dtype) == array.dtype


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("float32", np.float32),
        (">f4", ">f4"),
        ("bfloat16", ml_dtypes.bfloat16),
        ("float8_e4m3fn", ml_dtypes.float8_e4m3fn),
        ("<U2", "<U2"),
        ("datetime64[ns]", "datetime64[ns]"),
        ("[('a', '<i4'), ('b', '<f8', (2,))]", [("a", "<i4"), ("b", "<f8", (2,))]),
    ],
)
def test_dtype_of(name, dtype):
    assert memory.dtype_of(name) == np.dtype(dtype)


@pytest.mark.parametrize("name", ["", "x", "object", "O", "f4,f4", "(2,)f4", "[('a', 'O')]"])
def test_dtype_of_refuses(name):
    with pytest.raises(ValueError, match=r"no dtype|Object arrays|with a shape"):
        memory.dtype_of(name)
