import copy
import pickle  # noqa: TID251  # users' processes (ray, multiprocessing) pickle these objects
from collections import OrderedDict
from collections.abc import MutableMapping

import ml_dtypes
import numpy as np
import pytest
import torch
from sample_arrays import ARRAYS, assert_same

from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, memory

INVALID = "Invalid arguments for ArrayRecord.*The `keep_input` argument is keyword-only"
KINDS = ["packed", "handed out", "loose", "lazy"]


class Shelf:
    """A backing that counts how often it is opened."""

    def __init__(self, content: np.ndarray) -> None:
        self.content = content
        self.times = 0

    def open(self) -> np.ndarray:
        self.times += 1
        return self.content[:]


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def make(kind: str, arrays: dict[str, np.ndarray]) -> ArrayRecord:
    loose = ArrayRecord({name: Array(array) for name, array in arrays.items()})
    if kind == "loose":
        return loose
    content = memory.packed(loose)
    record = memory.adopt(
        memory.layout_of(loose), Shelf(content) if kind == "lazy" else content.copy()
    )
    if kind == "handed out":
        record.values()
    return record


@pytest.fixture
def record(kind: str) -> ArrayRecord:
    return make(kind, {"a": np.arange(3.0), "b": np.ones((2, 2), np.float32)})


@pytest.mark.parametrize(
    "empty",
    [
        ArrayRecord,
        lambda: ArrayRecord(None),
        lambda: ArrayRecord([]),
        lambda: ArrayRecord({}),
        lambda: ArrayRecord(numpy_ndarrays=[]),
        lambda: ArrayRecord(array_dict={}),
        lambda: ArrayRecord(torch_state_dict={}),
    ],
)
def test_empty(empty):
    record = empty()
    assert len(record) == 0
    assert not record
    assert record == {}
    assert record.to_numpy_ndarrays() == []
    assert record.to_torch_state_dict() == OrderedDict()
    assert record.count_bytes() == 0
    assert memory.packed(record).nbytes == 0


@pytest.mark.parametrize(
    "build",
    [
        ArrayRecord,
        lambda arrays: ArrayRecord(numpy_ndarrays=arrays),
        ArrayRecord.from_numpy_ndarrays,
    ],
)
def test_from_numpy_ndarrays(build):
    arrays = list(ARRAYS.values())
    record = build(arrays)
    assert list(record) == [str(index) for index in range(len(arrays))]
    for got, expected in zip(record.to_numpy_ndarrays(), arrays, strict=True):
        assert_same(got, expected)
    for got, expected in zip(record.values(), arrays, strict=True):
        assert got == Array(expected)


@pytest.mark.parametrize(
    "build",
    [
        ArrayRecord,
        lambda arrays: ArrayRecord(array_dict=arrays),
        ArrayRecord.from_array_dict,
        lambda arrays: ArrayRecord(OrderedDict(arrays)),
    ],
)
def test_from_array_dict(build):
    arrays = {name: Array(array) for name, array in ARRAYS.items()}
    record = build(arrays)
    assert list(record) == list(arrays)
    assert record == arrays
    assert record["float32"] is not arrays["float32"]
    for got, expected in zip(record.to_numpy_ndarrays(), ARRAYS.values(), strict=True):
        assert_same(got, expected)


@pytest.mark.parametrize(
    "build",
    [
        lambda: ArrayRecord({"a": np.zeros(2)}),
        lambda: ArrayRecord((np.zeros(2),)),
        lambda: ArrayRecord(np.zeros(2)),
        lambda: ArrayRecord([[1.0]]),
        lambda: ArrayRecord([1.0]),
        lambda: ArrayRecord([Array(np.zeros(2))]),
        lambda: ArrayRecord([torch.zeros(2)]),
        lambda: ArrayRecord([np.zeros(2), 1.0]),
        lambda: ArrayRecord(ArrayRecord()),
        lambda: ArrayRecord({"a": torch.zeros(2), "b": np.zeros(2)}),
        lambda: ArrayRecord({"a": Array(np.zeros(2)), "b": torch.zeros(2)}),
        lambda: ArrayRecord({"a": torch.zeros(2), "b": Array(np.zeros(2))}),
        lambda: ArrayRecord({"a": "text"}),
        lambda: ArrayRecord([np.zeros(2)], array_dict={}),
        lambda: ArrayRecord(numpy_ndarrays=[], array_dict={}),
        lambda: ArrayRecord([np.zeros(2)], False),
        lambda: ArrayRecord(5),
        lambda: ArrayRecord(array_dict={"a": torch.zeros(2)}),
        lambda: ArrayRecord(torch_state_dict={"a": Array(np.zeros(2))}),
        lambda: ArrayRecord(numpy_ndarrays={"a": Array(np.zeros(2))}),
        lambda: ArrayRecord(array_dict=[np.zeros(2)]),
    ],
)
def test_other_arguments_are_refused(build):
    with pytest.raises(TypeError, match=INVALID):
        build()


@pytest.mark.parametrize("value", [Array(np.zeros(2)), torch.zeros(2)])
def test_keys_must_be_text(value):
    with pytest.raises(TypeError, match="Key must be of type `str` but `<class 'int'>`"):
        ArrayRecord({1: value})


def test_text_keys_become_plain():
    array, name = Array(np.zeros(2)), np.str_("a")
    changed = ArrayRecord()
    changed[name] = array
    for record in (ArrayRecord({name: array}), ArrayRecord({name: torch.zeros(2)}), changed):
        assert [(type(key), key) for key in record] == [(str, "a")]


def test_refusal_names_the_key():
    with pytest.raises(TypeError, match="'b' is of type ndarray"):
        ArrayRecord({"a": torch.zeros(2), "b": np.zeros(2)})
    with pytest.raises(TypeError, match="Element 1 of the list is of type float"):
        ArrayRecord([np.zeros(2), 1.0])
    with pytest.raises(ValueError, match="Array '1': Object arrays cannot be saved"):
        ArrayRecord([np.zeros(2), np.array([None])])


@pytest.mark.parametrize("keep_input", [True, False])
def test_a_refused_list_is_not_emptied(keep_input):
    arrays = [np.zeros(2), np.array([None])]
    with pytest.raises(ValueError, match="Object arrays"):
        ArrayRecord(arrays, keep_input=keep_input)
    assert len(arrays) == 2


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("keep_input", [True, False])
def test_it_is_a_snapshot(name, keep_input):
    source = [ARRAYS[name].copy(order="A"), np.zeros(3)]
    kept = list(source)
    record = ArrayRecord(source, keep_input=keep_input)
    expected = kept[0].copy(order="A")
    kept[0].view(np.ndarray).reshape(-1).view(np.uint8)[...] = 1 if kept[0].itemsize else 0
    kept[1][:] = 5
    assert_same(record.to_numpy_ndarrays()[0], expected)
    assert record["1"].numpy().tolist() == [0, 0, 0]
    assert len(source) == (2 if keep_input else 0)


@pytest.mark.parametrize("keep_input", [True, False])
def test_keep_input_of_an_array_dict(keep_input):
    array = Array(np.zeros(2))
    source = {"a": array}
    record = ArrayRecord(source, keep_input=keep_input)
    assert (record["a"] is array) is not keep_input
    assert len(source) == keep_input


def test_to_numpy_ndarrays_gives_new_writable_arrays(record):
    first = record.to_numpy_ndarrays()
    for array in first:
        array[...] = 7
    assert record.to_numpy_ndarrays()[0].tolist() == [0, 1, 2]
    assert record["b"].numpy().tolist() == [[1, 1], [1, 1]]


@pytest.mark.parametrize("size", [10, 1_000_000])
def test_large_and_small_arrays_keep_their_order(size):
    values = np.asfortranarray(np.arange(2.0 * size).reshape(2, size))
    (got,) = ArrayRecord([values]).to_numpy_ndarrays()
    assert got.flags.f_contiguous
    assert not got.flags.c_contiguous
    assert np.array_equal(got, values)
    got[0, 0] = 1


def test_to_numpy_ndarrays_may_empty_the_record(record):
    assert len(record.to_numpy_ndarrays(keep_input=False)) == 2
    assert record == {}


def test_to_torch_state_dict_may_empty_the_record(record):
    assert list(record.to_torch_state_dict(keep_input=False)) == ["a", "b"]
    assert record == {}


def test_count_bytes_is_the_length_of_data_and_keys(kind):
    record = make(kind, ARRAYS)
    expected = sum(len(key) + len(array.data) for key, array in record.items())
    assert record.count_bytes() == expected
    assert make(kind, {"é": np.zeros(2)}).count_bytes() == 1 + 128 + 16


# The mapping.


def test_it_is_a_mutable_mapping_and_no_dict(record):
    assert isinstance(record, MutableMapping)
    assert not isinstance(record, dict)
    assert list(record) == list(record.keys()) == ["a", "b"]
    assert type(record.keys()) is type({}.keys())
    assert [array.shape for array in record.values()] == [(3,), (2, 2)]
    assert dict(record.items()) == record
    assert "a" in record
    assert "c" not in record
    assert 1 not in record
    assert record.get("c") is None
    assert record["a"] is record["a"]


@pytest.mark.parametrize("access", [lambda r: r["c"], lambda r: r.pop("c")])
def test_missing_key(record, access):
    with pytest.raises(KeyError, match="c"):
        access(record)
    with pytest.raises(KeyError, match="c"):
        del record["c"]
    assert len(record) == 2


def test_changes(record):
    array = Array(np.zeros(1))
    keys = record.keys()
    record["c"] = array
    assert record["c"] is array
    assert list(keys) == ["a", "b", "c"]
    assert record.popitem() == ("c", array)
    assert record.pop("a").numpy().tolist() == [0, 1, 2]
    assert record.setdefault("a", array) is array
    record.update({"b": array})
    assert [value.numpy().size for value in record.values()] == [1, 1]
    assert [value.size for value in memory.views(record)] == [1, 1]
    del record["b"]
    assert list(record) == ["a"]
    record.clear()
    assert record == {}
    with pytest.raises(KeyError):
        record.popitem()


@pytest.mark.parametrize(
    "change",
    [
        lambda r, v: r.__setitem__("a", v),
        lambda r, v: r.update({"a": v}),
        lambda r, v: r.setdefault("c", v),
    ],
)
@pytest.mark.parametrize("value", [np.zeros(2), 1.0, None])
def test_values_must_be_arrays(record, change, value):
    with pytest.raises(TypeError, match=r"Value must be of type .*Array.* was passed"):
        change(record, value)
    assert record["a"].numpy().tolist() == [0, 1, 2]


def test_setting_a_key_that_is_no_text(record):
    with pytest.raises(TypeError, match="Key must be of type `str`"):
        record[1] = Array(np.zeros(2))


def test_no_union_and_no_reversal(record):
    with pytest.raises(TypeError):
        record | {}
    with pytest.raises(TypeError):
        reversed(record)
    with pytest.raises(TypeError, match="unhashable"):
        hash(record)


def test_an_array_changed_in_place_changes_the_record(record):
    record["a"].data = Array(np.array([9.0])).data
    assert record.to_numpy_ndarrays()[0].tolist() == [9]
    assert memory.views(record)[0].tolist() == [9]


def test_equality(kind):
    record = make(kind, {"a": np.zeros(2), "b": np.ones(2)})
    assert record == make("packed", {"b": np.ones(2), "a": np.zeros(2)})
    assert record == {"a": Array(np.zeros(2)), "b": Array(np.ones(2))}
    assert record != make("packed", {"a": np.zeros(2)})
    assert record != make("packed", {"a": np.zeros(2), "b": np.zeros(2)})
    assert record != make("packed", {"a": np.zeros(2), "b": np.ones(2, np.float32)})
    assert record != "text"
    assert record == record  # noqa: PLR0124  # identity is a shortcut


def test_equality_across_classes():
    assert ArrayRecord() == MetricRecord()
    assert ConfigRecord() == ArrayRecord()
    assert ArrayRecord([np.zeros(1)]) != MetricRecord({"0": 1})


def test_repr_prints_like_a_dict(record):
    assert repr(record).startswith("{'a': Array(dtype='float64', shape=(3,)")
    assert len(repr(ArrayRecord([np.zeros(1_000_000)]))) < 200


def test_copy_is_shallow(record):
    before = record.items()
    for other in (record.copy(), copy.copy(record)):
        assert other == record
        assert all(other[name] is array for name, array in before)
        other["c"] = Array(np.zeros(1))
        del other["a"]
        assert list(record) == ["a", "b"]


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r))])
def test_deep_copies_are_independent(kind, duplicate):
    record = make(kind, ARRAYS)
    other = duplicate(record)
    assert other == record
    other["float32"].data = b"changed"
    other["0-d"] = Array(np.zeros(1))
    assert record["float32"] == Array(ARRAYS["float32"])
    assert record["0-d"].shape == ()


# State dicts.


def state_dict() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        "weight": torch.randn(3, 4, requires_grad=True),
        "transposed": torch.randn(3, 4).T,
        "half": torch.randn(3).half(),
        "bfloat16": torch.randn(3, 2).bfloat16(),
        "bfloat16 transposed": torch.randn(3, 2).bfloat16().T,
        "float8_e4m3fn": torch.randn(3).to(torch.float8_e4m3fn),
        "float8_e5m2": torch.tensor(1.5).to(torch.float8_e5m2),
        "float8_e4m3fnuz": torch.randn(2).to(torch.float8_e4m3fnuz),
        "float8_e5m2fnuz": torch.randn(2).to(torch.float8_e5m2fnuz),
        "num_batches_tracked": torch.tensor(7),
        "mask": torch.tensor([True, False]),
        "complex": torch.tensor([1 + 2j]),
        "empty": torch.zeros(0, 2),
        "strided": torch.randn(6)[::2],
    }


@pytest.mark.parametrize("keep_input", [True, False])
@pytest.mark.parametrize(
    "build",
    [
        ArrayRecord,
        lambda tensors, keep_input: ArrayRecord(torch_state_dict=tensors, keep_input=keep_input),
        ArrayRecord.from_torch_state_dict,
        lambda tensors, keep_input: ArrayRecord(OrderedDict(tensors), keep_input=keep_input),
    ],
)
def test_state_dict_round_trips(build, keep_input):
    given = state_dict()
    record = build(given, keep_input=keep_input)
    state = record.to_torch_state_dict()
    assert type(state) is OrderedDict
    assert list(state) == list(state_dict())
    for name, expected in state_dict().items():
        got = state[name]
        assert got.dtype == expected.dtype, name
        assert got.shape == expected.shape
        assert not got.requires_grad
        assert torch.equal(got.cfloat(), expected.detach().cfloat())
    assert record["num_batches_tracked"].dtype == "int64"
    assert record["num_batches_tracked"].shape == ()
    assert record["bfloat16"].dtype == "bfloat16"


def test_keep_input_of_a_state_dict():
    given = state_dict()
    ArrayRecord(given)
    assert len(given) == len(state_dict())
    emptied = dict(given)
    ArrayRecord(emptied, keep_input=False)
    assert emptied == {}


def test_state_dict_is_a_snapshot_and_its_copies_are_writable():
    given = {"w": torch.zeros(3)}
    record = ArrayRecord(given)
    given["w"] += 1
    state = record.to_torch_state_dict()
    assert state["w"].tolist() == [0, 0, 0]
    state["w"] += 1
    assert record["w"].numpy().tolist() == [0, 0, 0]


def test_a_module_takes_its_state_back():
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    state = ArrayRecord(module.state_dict()).to_torch_state_dict()
    module.load_state_dict(state, strict=True)


def test_numpy_records_become_tensors():
    arrays = [np.arange(3, dtype=">f4"), np.asfortranarray(np.ones((2, 3)))]
    state = ArrayRecord(arrays).to_torch_state_dict()
    assert state["0"].tolist() == [0, 1, 2]
    assert state["1"].stride() == (1, 2)


def test_what_torch_lacks_is_a_type_error():
    with pytest.raises(TypeError):
        ArrayRecord([np.array(["text"])]).to_torch_state_dict()
    record = ArrayRecord([np.zeros(2, ml_dtypes.float8_e3m4)])
    with pytest.raises(TypeError, match="PyTorch has no dtype float8_e3m4"):
        record.to_torch_state_dict()


def test_sparse_tensors_are_refused():
    with pytest.raises(TypeError):
        ArrayRecord({"w": torch.eye(2).to_sparse()})
