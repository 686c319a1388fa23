"""`Parameters`: serialised arrays that are serialised when somebody looks."""

import copy
import dataclasses
import io
import pickle  # noqa: TID251 - users pickle them
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from flwr.app import ArrayRecord
from flwr.compat.parameters import (
    bytes_to_ndarray,
    ndarray_to_bytes,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
    parameters_views,
)
from flwr.compat.typing import Parameters, held_record

ARRAYS = [np.arange(6, dtype=np.float32).reshape(2, 3), np.array(7), np.empty((0, 3))]


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def test_tensors_are_what_numpy_saves() -> None:
    parameters = ndarrays_to_parameters(ARRAYS)
    assert parameters.tensor_type == "numpy.ndarray"
    assert parameters.tensors == [saved(array) for array in ARRAYS]


@pytest.mark.parametrize("look", [False, True])
def test_arrays_come_back_as_new_writable_ones(look: bool) -> None:
    parameters = ndarrays_to_parameters(ARRAYS)
    if look:
        assert len(parameters.tensors) == 3
    for _ in range(2):
        arrays = parameters_to_ndarrays(parameters)
        for array, expected in zip(arrays, ARRAYS, strict=True):
            assert array.dtype == expected.dtype
            np.testing.assert_array_equal(array, expected)
            array[...] = 0


def test_what_goes_in_is_a_snapshot() -> None:
    array = np.ones(3)
    parameters = ndarrays_to_parameters([array])
    array[:] = 5
    np.testing.assert_array_equal(parameters_to_ndarrays(parameters)[0], np.ones(3))


def test_lists_and_numbers_count_as_arrays() -> None:
    first, second = parameters_to_ndarrays(ndarrays_to_parameters([[1, 2], 3.5]))
    assert first.dtype == np.int64
    assert second.shape == ()


def test_objects_are_refused_and_named() -> None:
    with pytest.raises(ValueError, match="'1'"):
        ndarrays_to_parameters([np.ones(1), np.array([object()])])
    with pytest.raises(ValueError, match="inhomogeneous") as caught:
        ndarrays_to_parameters([np.ones(1), [[1, 2], [3]]])
    assert caught.value.__notes__ == ["This is array 1 of 2."]


def test_bytes_that_are_no_array_are_refused() -> None:
    with pytest.raises(ValueError, match="pickle"):
        bytes_to_ndarray(b"nonsense")
    with pytest.raises(ValueError, match="pickle"):
        parameters_to_ndarrays(Parameters([b"nonsense"], "numpy.ndarray"))
    with pytest.raises(ValueError, match="Object arrays"):
        ndarray_to_bytes(np.array([object()]))


def test_the_tensor_type_does_not_matter_for_reading() -> None:
    tensors = [ndarray_to_bytes(np.ones(2))]
    np.testing.assert_array_equal(
        parameters_to_ndarrays(Parameters(tensors, "something"))[0], np.ones(2)
    )


def test_a_changed_list_of_tensors_is_what_counts() -> None:
    parameters = ndarrays_to_parameters([np.ones(2), np.zeros(2)])
    parameters.tensors.pop()
    parameters.tensors[0] = ndarray_to_bytes(np.full(2, 9))
    assert [array.tolist() for array in parameters_to_ndarrays(parameters)] == [[9, 9]]
    parameters.tensors = []
    assert parameters_to_ndarrays(parameters) == []


def test_it_behaves_as_a_dataclass() -> None:
    parameters = ndarrays_to_parameters([np.ones(2)])
    tensors = [saved(np.ones(2))]
    assert [field.name for field in dataclasses.fields(Parameters)] == ["tensors", "tensor_type"]
    assert parameters == Parameters(tensors, "numpy.ndarray")
    assert parameters != Parameters(tensors, "other")
    assert repr(parameters) == f"Parameters(tensors={tensors!r}, tensor_type='numpy.ndarray')"
    assert dataclasses.asdict(parameters) == {"tensors": tensors, "tensor_type": "numpy.ndarray"}
    other = dataclasses.replace(parameters, tensor_type="other")
    assert (other.tensors, other.tensor_type) == (tensors, "other")


@pytest.mark.parametrize("look", [False, True])
@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda given: pickle.loads(pickle.dumps(given))]
)
def test_copies_and_pickles_are_equal_and_apart(again, look: bool) -> None:
    parameters = ndarrays_to_parameters([np.ones(2)])
    if look:
        assert parameters.tensors
    alike = again(parameters)
    assert alike == parameters
    alike.tensors = []
    assert len(parameters.tensors) == 1


def test_a_deep_copy_has_a_list_of_its_own() -> None:
    parameters = Parameters([b"a"], "x")
    copy.deepcopy(parameters).tensors.append(b"b")
    assert parameters.tensors == [b"a"]


def test_arrays_are_kept_until_tensors_are_read() -> None:
    parameters = ndarrays_to_parameters([np.ones(2)])
    assert isinstance(held_record(parameters), ArrayRecord)
    assert not parameters_views(parameters)[0].flags.writeable
    assert parameters.tensors
    assert held_record(parameters) is None


def test_whatever_has_tensors_is_read() -> None:
    given: Any = SimpleNamespace(tensors=[ndarray_to_bytes(np.arange(2))])
    assert [array.tolist() for array in parameters_to_ndarrays(given)] == [[0, 1]]
    with pytest.raises(AttributeError, match="'list' object has no attribute 'tensors'"):
        parameters_to_ndarrays(cast("Any", [np.zeros(2)]))
