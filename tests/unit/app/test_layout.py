import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sample_arrays import ARRAYS, assert_same

from flwr.app import ArrayRecord, memory
from flwr.app.layout import Layout, Run

EXTENSIONS = [ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2]

patient = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # nothing is timed

dtypes = (
    hnp.scalar_dtypes()
    | hnp.byte_string_dtypes()
    | hnp.unicode_string_dtypes()
    | hnp.array_dtypes(hnp.scalar_dtypes(), max_size=3)
    | st.sampled_from([np.dtype(extension) for extension in EXTENSIONS])
)
shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    """Draw an array of any dtype and shape, in any memory order, with any bits."""
    dtype = draw(dtypes)
    shape = draw(shapes)
    nbytes = math.prod(shape) * dtype.itemsize
    bits = np.frombuffer(draw(st.binary(min_size=nbytes, max_size=nbytes)), np.uint8)
    array = np.ndarray(shape, dtype, bits.copy() if nbytes else None)
    if draw(st.booleans()):
        array = array.transpose(draw(st.permutations(range(array.ndim))))
    for axis in range(array.ndim):
        step = draw(st.sampled_from([1, 1, 2, -1]))
        array = array[(slice(None),) * axis + (slice(None, None, step),)]
    return array


def views_of(named: dict[str, np.ndarray]) -> tuple[Layout, list[np.ndarray]]:
    layout = Layout.of(tuple(named), list(named.values()))
    buffer = np.full(layout.nbytes, 255, np.uint8)
    layout.fill(buffer, list(named.values()))
    return layout, layout.views(buffer)


def same_bits(got: np.ndarray, expected: np.ndarray) -> bool:
    if got.dtype.names:
        return all(same_bits(got[name], expected[name]) for name in got.dtype.names)
    return got.tobytes() == expected.tobytes()


@patient
@given(st.dictionaries(st.text(max_size=5), arrays(), max_size=5))
def test_any_arrays_round_trip(named):
    layout, views = views_of(named)
    assert layout.names == tuple(named)
    for got, expected in zip(views, named.values(), strict=True):
        assert got.dtype == expected.dtype
        assert got.shape == expected.shape
        assert same_bits(got, expected)
        assert got.flags.c_contiguous or got.flags.f_contiguous
        if expected.flags.c_contiguous or expected.flags.f_contiguous:
            assert got.flags.c_contiguous == expected.flags.c_contiguous


@patient
@given(st.dictionaries(st.text(max_size=5), arrays(), max_size=5))
def test_any_header_round_trips(named):
    layout = Layout.of(tuple(named), list(named.values()))
    assert Layout.from_header(layout.header()) is layout


@patient
@given(st.dictionaries(st.text(max_size=5), arrays(), max_size=5))
def test_one_by_one_gives_the_same_bytes(named):
    layout, views = views_of(named)
    buffer = np.full(layout.nbytes, 254, np.uint8)
    layout.fill_each(buffer, iter(named.values()))
    for one, other in zip(views, layout.views(buffer), strict=True):
        assert same_bits(one, other)


@patient
@given(st.lists(arrays(), max_size=4), st.booleans())
def test_any_record_round_trips(values, keep_input):
    record = ArrayRecord(list(values), keep_input=keep_input)
    for got, expected in zip(record.to_numpy_ndarrays(), values, strict=True):
        assert got.dtype == expected.dtype
        assert same_bits(got, expected)
        assert got.flags.writeable


@pytest.mark.parametrize("name", ARRAYS)
def test_entries_describe_arrays(name):
    if name == "record array":
        return
    array = ARRAYS[name]
    (entry,) = Layout.of((name,), [array]).entries
    assert entry.name == name
    assert memory.dtype_of(entry.dtype) == array.dtype
    assert entry.shape == array.shape
    assert entry.nbytes == array.nbytes
    assert entry.fortran is (array.flags.f_contiguous and not array.flags.c_contiguous)
    assert (entry.stype, entry.raw, entry.offset) == ("numpy.ndarray", False, 0)


def test_arrays_of_one_dtype_are_one_run():
    layout, _ = views_of({str(i): np.zeros((i, 3), np.float32) for i in range(5)})
    assert layout.runs == (Run("float32", 0, 30, 0, 5),)
    assert layout.nbytes == 120


def test_entries_are_aligned_to_their_item_size_and_gaps_are_zero():
    named = {
        "a": np.ones(3, np.uint8),
        "b": np.ones(2, np.float64),
        "c": np.ones(1, np.uint8),
        "d": np.ones(1, ">f8"),
    }
    layout = Layout.of(tuple(named), list(named.values()))
    assert [entry.offset for entry in layout.entries] == [0, 8, 24, 32]
    buffer = np.full(layout.nbytes, 255, np.uint8)
    layout.fill(buffer, list(named.values()))
    assert not buffer[3:8].any()
    assert not buffer[25:32].any()
    assert [(run.dtype, run.start, run.count) for run in layout.runs] == [
        ("uint8", 0, 3),
        ("float64", 8, 2),
        ("uint8", 24, 1),
        (">f8", 32, 1),
    ]


def test_runs_cover_the_entries_in_order():
    layout, _ = views_of(ARRAYS | {"record array": np.zeros(1)})
    assert [run.first for run in layout.runs] == [0, *(run.last for run in layout.runs[:-1])]
    assert layout.runs[-1].last == len(layout.entries)


def test_equal_layouts_are_one_object():
    arrays = [np.zeros((2, 3)), np.zeros(4, ">i2")]
    layout = Layout.of(["a", "b"], arrays)
    assert Layout.of(("a", "b"), [array + 1 for array in arrays]) is not layout  # byte order
    assert Layout.of(("a", "b"), [array.copy() for array in arrays]) is layout
    assert Layout.of(("a", "b"), [np.zeros((4, 6))[::2, ::2], arrays[1]]) is layout
    assert Layout.of(("a", "c"), arrays) is not layout
    assert Layout.of(("a", "b"), [np.asfortranarray(arrays[0]), arrays[1]]) is not layout
    assert Layout.from_header(layout.header()) is layout


def test_one_name_for_each_array():
    with pytest.raises(ValueError, match="shorter"):
        Layout.of(("a", "b"), [np.zeros(2)])


def test_views_are_writable_if_the_buffer_is():
    layout = Layout.of(("a",), [np.zeros(2)])
    buffer = np.zeros(16, np.uint8)
    layout.views(buffer)[0][:] = 1
    assert buffer.any()
    buffer.setflags(write=False)
    assert not layout.views(buffer)[0].flags.writeable


GOOD = ["a", "float32", [2, 3], False, "numpy.ndarray", False, 24]


def changed(**changes: object) -> list[object]:
    fields = dict(
        zip(("name", "dtype", "shape", "fortran", "stype", "raw", "nbytes"), GOOD, strict=True)
    )
    return list((fields | changes).values())


def test_a_header_is_plain():
    layout = Layout.of(("a",), [np.zeros((2, 3), np.float32)])
    assert layout.header() == [GOOD]


@pytest.mark.parametrize(
    "header",
    [
        None,
        {},
        "a",
        (),
        [None],
        [[]],
        [{}],
        [tuple(GOOD)],
        [GOOD[:-1]],
        [[*GOOD, 1]],
        [GOOD, GOOD],
        [changed(name=1)],
        [changed(name=b"a")],
        [changed(dtype=4)],
        [changed(dtype="no such dtype")],
        [changed(dtype="")],
        [changed(dtype="object", nbytes=48)],
        [changed(dtype="O", nbytes=48)],
        [changed(dtype="f4,f4", nbytes=48)],
        [changed(dtype="[('a', 'O')]", nbytes=48)],
        [changed(dtype="[('a',", nbytes=48)],
        [changed(dtype="[" * 10_000)],
        [changed(dtype="[" + "(" * 90 + ")" * 90 + "]")],
        [changed(dtype="{'names': 1}")],
        [changed(dtype="x" * 100_000)],
        [changed(dtype="float8_none", nbytes=6)],
        [changed(dtype="(2,)f4")],
        [changed(shape=None)],
        [changed(shape=(2, 3))],
        [changed(shape=[2, -3])],
        [changed(shape=[-2, -3])],
        [changed(shape=[2, 3.0])],
        [changed(shape=[True, 6])],
        [changed(shape=["2", 3])],
        [changed(shape=[2, 4])],
        [changed(shape=[2**62, 2**62])],
        [changed(shape=[2**64])],
        [changed(shape=[0, 2**62, 2**62], nbytes=0)],
        [changed(shape=[1] * 65, nbytes=4)],
        [changed(shape=[2**61], nbytes=2**63)],
        [changed(dtype="float64", shape=[2**59], nbytes=2**62), changed(name="b")],
        [changed(fortran=1)],
        [changed(fortran=None)],
        [changed(stype=None)],
        [changed(stype="acme")],
        [changed(raw=0)],
        [changed(nbytes=-24)],
        [changed(nbytes=25)],
        [changed(nbytes=24.0)],
        [changed(nbytes=True, shape=[1], dtype="uint8")],
        [changed(raw=True, nbytes=-1)],
        [changed(raw=True, nbytes=2**63)],
    ],
    ids=repr,
)
def test_nonsense_headers_are_value_errors(header):
    with pytest.raises(ValueError):  # noqa: PT011  # each for its own reason
        Layout.from_header(header)


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@patient
@given(json)
def test_arbitrary_headers_are_layouts_or_value_errors(header):
    try:
        layout = Layout.from_header(header)
    except ValueError:
        return
    assert Layout.from_header(layout.header()) is layout


@patient
@given(st.integers(0, 6), json | st.sampled_from(["O", "f4,f4", [2**63], [0, 2**62]]))
def test_damaged_headers_are_layouts_or_value_errors(position, value):
    item = list(GOOD)
    item[position] = value
    try:
        layout = Layout.from_header([item])
    except ValueError:
        return
    assert layout.header() == [item]


def test_a_huge_claim_allocates_nothing():
    layout = Layout.from_header([changed(shape=[2**50], nbytes=2**52)])
    assert layout.nbytes == 2**52


def test_raw_entries_are_aligned_and_no_run():
    header = [
        changed(name="a", shape=[1], nbytes=4),
        changed(name="b", dtype="", shape=[9, 9], stype="acme", raw=True, nbytes=3),
        changed(name="c", shape=[1], nbytes=4),
    ]
    layout = Layout.from_header(header)
    assert [entry.offset for entry in layout.entries] == [0, 64, 68]
    assert [(run.first, run.last) for run in layout.runs] == [(0, 1), (2, 3)]
    assert layout.has_raw
    views = layout.views(np.zeros(layout.nbytes, np.uint8))
    assert_same(views[1], np.zeros(3, np.uint8))
    assert layout.header() == header


def test_zero_sized_layouts():
    layout, views = views_of({"a": np.zeros((0, 3)), "b": np.zeros((2, 0), np.int8)})
    assert layout.nbytes == 0
    assert [view.shape for view in views] == [(0, 3), (2, 0)]
    assert Layout.of((), []).nbytes == 0
    assert Layout.from_header([]) is Layout.of((), [])
