import copy
import dataclasses
import io
import pickle  # noqa: TID251  # users' processes (ray, multiprocessing) pickle these objects

import ml_dtypes
import numpy as np
import pytest
import torch
from sample_arrays import ARRAYS, assert_same

from flwr.app import Array

EXTENSIONS = ("bfloat16", "float8")
INVALID = "Invalid arguments for Array. Expected either a PyTorch tensor, a NumPy ndarray"


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


@pytest.fixture(params=ARRAYS)
def values(request: pytest.FixtureRequest) -> np.ndarray:
    return ARRAYS[request.param]


def test_ndarray_round_trips(values):
    assert_same(Array(values).numpy(), values)


def test_fields_tell_dtype_and_shape(values):
    array = Array(values)
    plain = np.asarray(values)
    if isinstance(values, np.recarray):
        plain = plain.view(np.dtype((np.void, plain.dtype)))
    assert array.dtype == str(plain.dtype)
    assert array.shape == values.shape
    assert array.stype == "numpy.ndarray"


def test_data_is_what_numpy_saves(values):
    array = Array(values)
    if array.dtype.startswith(EXTENSIONS):
        values = values.view(f"<u{values.itemsize}")
    if array.dtype.endswith("'aligned': True}"):  # what numpy saves between fields is undefined
        assert array.data[: -values.nbytes] == npy(values)[: -values.nbytes]
    else:
        assert array.data == npy(values)


def test_data_is_readable_by_numpy(values):
    loaded = np.load(io.BytesIO(Array(values).data), allow_pickle=False)
    assert loaded.shape == values.shape


def test_four_values_give_the_same_array(values):
    array = Array(values)
    again = Array(array.dtype, array.shape, array.stype, array.data)
    assert again == array
    assert_same(again.numpy(), array.numpy())


@pytest.mark.parametrize(
    "make",
    [
        Array,
        lambda a: Array(ndarray=a),
        Array.from_numpy_ndarray,
        lambda a: Array(torch.from_numpy(a)),
        lambda a: Array(torch_tensor=torch.from_numpy(a)),
        lambda a: Array.from_torch_tensor(torch.from_numpy(a)),
        lambda a: Array("float32", (2, 2), "numpy.ndarray", npy(a)),
        lambda a: Array("float32", [2, 2], "numpy.ndarray", npy(a)),
        lambda a: Array("float32", (2, 2), stype="numpy.ndarray", data=npy(a)),
        lambda a: Array(dtype="float32", shape=(2, 2), stype="numpy.ndarray", data=npy(a)),
    ],
)
def test_all_forms_of_the_constructor(make):
    values = np.arange(4, dtype=np.float32).reshape(2, 2)
    array = make(values)
    assert array == Array(values)
    assert_same(array.numpy(), values)


@pytest.mark.parametrize(
    "make",
    [
        Array,
        lambda: Array([1.0, 2.0]),
        lambda: Array(3),
        lambda: Array(np.float32(3)),
        lambda: Array(ndarray=torch.zeros(2)),
        lambda: Array(torch_tensor=np.zeros(2)),
        lambda: Array(np.zeros(2), torch_tensor=torch.zeros(2)),
        lambda: Array(np.zeros(2), dtype="float64"),
        lambda: Array(np.zeros(2), np.zeros(2)),
        lambda: Array(data=np.zeros(2)),
        lambda: Array(dtype="float32", shape=(1,), stype="numpy.ndarray"),
        lambda: Array("float32", (1,), "numpy.ndarray"),
        lambda: Array("float32", (1,), "numpy.ndarray", b"x", dtype="float32"),
        lambda: Array("float32", (1,), "numpy.ndarray", b"x", b"x"),
        lambda: Array("float32", (1,), "numpy.ndarray", b"x", ndarray=np.zeros(1)),
        lambda: Array(np.zeros(2), shape=(2,), stype="numpy.ndarray", data=b"x"),
        lambda: Array("float32", (1,), "numpy.ndarray", bytearray(b"x")),
        lambda: Array(np.dtype("float32"), (1,), "numpy.ndarray", b"x"),
        lambda: Array("float32", 1, "numpy.ndarray", b"x"),
        lambda: Array("float32", ("1",), "numpy.ndarray", b"x"),
        lambda: Array("float32", (1,), None, b"x"),
    ],
)
def test_other_arguments_are_refused(make):
    with pytest.raises(TypeError, match=INVALID):
        make()


def test_refusal_names_what_was_given():
    with pytest.raises(TypeError, match=r"Received numpy\.float32"):
        Array(np.float32(3))


@pytest.mark.parametrize("values", [np.array([object()]), np.array(["a", None], object)])
def test_python_objects_are_refused(values):
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        Array(values)


def test_text_of_variable_length_is_refused():
    with pytest.raises(ValueError, match="text of a fixed length"):
        Array(np.array(["a", "long"], np.dtypes.StringDType()))


def test_it_is_a_snapshot():
    values = np.zeros(3)
    array = Array(values)
    values[:] = 1
    assert array.numpy().tolist() == [0, 0, 0]


def test_tensor_snapshot():
    tensor = torch.zeros(3)
    array = Array(tensor)
    tensor += 1
    assert array.numpy().tolist() == [0, 0, 0]


def test_numpy_gives_a_new_writable_array_each_time():
    array = Array(np.zeros(3))
    first = array.numpy()
    first[:] = 1
    assert array.numpy().tolist() == [0, 0, 0]


@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_order_is_kept(order):
    values = np.array(np.arange(6.0).reshape(2, 3), order=order)
    flags = Array(values).numpy().flags
    assert flags.c_contiguous is (order == "C")
    assert flags.f_contiguous is (order == "F")


def test_transposed_tensor_is_stored_column_by_column():
    array = Array(torch.arange(6.0).reshape(2, 3).T)
    assert b"'fortran_order': True" in array.data
    assert array.shape == (3, 2)


def test_masked_arrays_and_matrices_come_back_plain():
    assert_same(Array(np.ma.masked_array([1, 2], [0, 1])).numpy(), np.array([1, 2]))
    matrix = np.array([[1, 2]]).view(np.matrix)
    assert_same(Array(matrix).numpy(), np.array([[1, 2]]))


def test_bytes_between_fields_do_not_leak():
    dtype = np.dtype([("a", "i1"), ("b", "f8")], align=True)
    dirty = np.full(dtype.itemsize * 2, 255, np.uint8).view(dtype)
    dirty["a"], dirty["b"] = 1, 2.0
    assert Array(dirty).data.count(b"\xff") == 0


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(2, requires_grad=True),
        torch.nn.Parameter(torch.ones(2, 2)),
        torch.tensor(7),
        torch.zeros(0, 2),
        torch.ones(2, dtype=torch.bfloat16),
        torch.ones((), dtype=torch.float8_e4m3fn),
        torch.ones(2, dtype=torch.float8_e5m2),
        torch.tensor([1 + 2j]).conj(),
    ],
)
def test_tensors(tensor):
    array = Array(tensor)
    assert array.dtype == str(tensor.dtype).removeprefix("torch.")
    assert array.shape == tuple(tensor.shape)
    if array.dtype.startswith(EXTENSIONS):
        assert array.numpy().astype(np.float32).tolist() == tensor.float().tolist()
    else:
        assert array.numpy().tolist() == tensor.tolist()


def test_sparse_tensor_is_refused():
    with pytest.raises(TypeError):
        Array(torch.eye(2).to_sparse())


def test_foreign_stype_is_no_ndarray():
    array = Array("", (), "acme.tensor", b"\x01\x02")
    with pytest.raises(TypeError, match=r"Unsupported serialization type .*'acme\.tensor'"):
        array.numpy()
    assert array.data == b"\x01\x02"


def test_legacy_array_without_dtype_decodes():
    array = Array("", (), "numpy.ndarray", npy(np.arange(3)))
    assert array.numpy().tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no npy at all",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\xff\xff{",
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}",
        b"\x93NUMPY\x07\x00" + npy(np.zeros(2))[8:],
        npy(np.zeros(100))[:-1],
        npy(np.zeros(2))[:80],
        npy(np.zeros(2)).replace(b"(2,)", b"(-2)"),
        npy(np.zeros(2)).replace(b"(2,)", b"(9,)"),
        npy(np.zeros(2)).replace(b"<f8", b"|O8"),
        npy(np.zeros(2)).replace(b"<f8", b"zzz"),
    ],
)
def test_malformed_data_is_a_value_error(data):
    with pytest.raises(ValueError):  # noqa: PT011  # numpy's texts are among them
        Array("float64", (2,), "numpy.ndarray", data).numpy()


@pytest.mark.parametrize(
    "dtype",
    [
        np.dtype([("f" * 70_000, "<f8")]),  # a header of version 2
        np.dtype([("größe_Ж", "<f8")]),  # of version 3
    ],
)
def test_unusual_headers_match_numpy(dtype):
    values = np.zeros(2, dtype)
    if len(str(dtype)) > 65_536:
        with pytest.raises(ValueError, match="no dtype named"):
            Array(values)
        return
    with pytest.warns(UserWarning, match="format 3.0"):
        expected = npy(values)
    with pytest.warns(UserWarning, match="format 3.0"):
        assert Array(values).data == expected
    assert_same(Array(str(dtype), (2,), "numpy.ndarray", expected).numpy(), values)


def test_fields_are_assignable_without_validation():
    array = Array(np.zeros(2))
    array.dtype, array.shape, array.stype, array.data = "x", (9,), "y", b"z"
    assert (array.dtype, array.shape, array.stype, array.data) == ("x", (9,), "y", b"z")
    assert array == Array("x", (9,), "y", b"z")


@pytest.mark.parametrize(
    ("field", "value"), [("dtype", "x"), ("shape", (1, 2)), ("stype", "x"), ("data", b"x")]
)
def test_equality_compares_the_four_fields(field, value):
    array, other = Array(np.zeros(2)), Array(np.zeros(2))
    assert array == other
    setattr(other, field, value)
    assert array != other


def test_equality_of_bits_not_of_numbers():
    assert Array(np.array([np.nan])) == Array(np.array([np.nan]))
    assert Array(np.array([0.0])) != Array(np.array([-0.0]))
    assert Array(np.ones((2, 2))) != Array(np.ones((2, 2), order="F"))
    assert Array(np.zeros(2)) != "an array"


def test_it_is_unhashable():
    with pytest.raises(TypeError, match="unhashable"):
        hash(Array(np.zeros(2)))


def test_shape_equals_tuple_and_list():
    shape = Array(np.zeros((2, 3))).shape
    assert shape == (2, 3)
    assert shape == [2, 3]
    assert shape != [2]
    assert shape != "x"
    rows, columns = shape
    assert (rows, columns) == (2, 3)
    assert {shape: 1}[(2, 3)] == 1


def test_repr_cuts_the_data_short():
    text = repr(Array(np.zeros(1_000_000)))
    assert len(text) < 200
    assert text.startswith("Array(dtype='float64', shape=(1000000,), stype='numpy.ndarray', data=b")
    assert text.endswith("... (8000128 bytes))")
    assert repr(Array("", (), "s", b"abc")) == "Array(dtype='', shape=(), stype='s', data=b'abc')"


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))]
)
def test_copies_are_equal_and_independent(values, duplicate):
    array = Array(values)
    other = duplicate(array)
    assert other == array
    assert_same(other.numpy(), array.numpy())
    other.data = b"changed"
    assert array != other


def test_it_is_a_dataclass():
    array = Array(np.zeros(2))
    assert [field.name for field in dataclasses.fields(array)] == [
        "dtype",
        "shape",
        "stype",
        "data",
    ]
    assert dataclasses.replace(array, data=b"x").data == b"x"


def test_named_bfloat16_is_restored():
    values = np.array([1.0, 2.0], ml_dtypes.bfloat16)
    array = Array("bfloat16", (2,), "numpy.ndarray", npy(values.view("<u2")))
    assert_same(array.numpy(), values)
