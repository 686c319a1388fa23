"""States as plain data and arrays: they come back as they were, or are refused by name."""

import random
import sys
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord, RecordDict, memory
from flwr.errors import ParcelError
from flwr.runtime.checkpoints import decode_state, encode_state, generators, set_generators
from flwr.wire.content import open_content, seal_content

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text() | st.integers(-(2**63), 2**63), inner, max_size=4)
    ),
    max_leaves=20,
)


def there_and_back(state: dict[str, Any]) -> dict[str, Any]:
    sealed = seal_content(encode_state(state))
    return decode_state(open_content(sealed.head, [bytes(frame) for frame in sealed.frames]))


@given(state=st.dictionaries(st.text(), PLAIN, max_size=5))
def test_plain_data_comes_back_as_it_was(state: dict[str, Any]) -> None:
    back = there_and_back(state)
    assert repr(back) == repr(state)  # which tells 1 from True, and lists from tuples


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.arange(12)[::-2],
        np.array(3.5),
        np.empty((0, 4)),
        np.arange(3, dtype=ml_dtypes.bfloat16),
        np.array([True]),
    ],
    ids=lambda array: f"{array.dtype}-{array.shape}",
)
def test_arrays_come_back_with_every_bit_and_writable(array: np.ndarray) -> None:
    back = there_and_back({"deep": [{"er": array}]})["deep"][0]["er"]
    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())
    assert back.flags.writeable


def test_large_arrays_are_not_copied_when_they_are_saved() -> None:
    moments = np.zeros(100_000)
    content = encode_state({"m": moments})
    assert np.shares_memory(memory.packed(content.array_records["0"]), moments)
    assert moments.flags.writeable


def test_records_and_scalars_of_numpy_keep_their_kind() -> None:
    state = {
        "arrays": ArrayRecord([np.ones(3)]),
        "metrics": {1: MetricRecord({"loss": 0.5})},
        "all": RecordDict({"c": ConfigRecord({"b": b"\0"})}),
        "scalar": np.float32(1.5),
        "number": np.int64(2),
    }
    back = there_and_back(state)
    assert back == state
    assert [type(value) for value in back.values()] == [type(value) for value in state.values()]


@pytest.mark.parametrize(
    ("state", "where"),
    [
        ({"seen": {1, 2}}, "'seen' is a set"),
        ({"a": [{"b": object()}]}, "'a.0.b' is a object"),
        ({"a": {(1, 2): 3}}, "is a tuple"),
        ({"a": np.array([None])}, "'a' is a ndarray of object"),
    ],
)
def test_what_cannot_be_saved_is_refused_by_name(state: dict[str, Any], where: str) -> None:
    with pytest.raises(TypeError, match=where):
        encode_state(state)


@pytest.mark.parametrize(
    "content",
    [
        RecordDict(),
        RecordDict({"tree": ConfigRecord({"tree": b"\xc1"})}),
        RecordDict({"tree": ConfigRecord({"tree": b"\x01"})}),
        RecordDict({"tree": ConfigRecord({"tree": b"\x92\xa1z\xc0"})}),
        RecordDict({"tree": ConfigRecord({"tree": b"\x92\xa1n\xa10"})}),
    ],
)
def test_what_is_no_state_is_refused(content: RecordDict) -> None:
    with pytest.raises(ParcelError, match="no checkpoint"):
        decode_state(content)


def test_generators_go_on_where_they_were() -> None:
    random.seed(3)
    np.random.seed(3)
    random.gauss(0, 1)
    np.random.standard_normal()
    saved = there_and_back(generators())
    drawn = random.gauss(0, 1), random.random(), np.random.standard_normal(), np.random.rand()
    random.seed(4)
    np.random.seed(4)
    set_generators(saved)
    again = random.gauss(0, 1), random.random(), np.random.standard_normal(), np.random.rand()
    assert again == drawn


def test_the_generator_of_torch_goes_on_where_it_was() -> None:
    import torch

    torch.manual_seed(3)
    torch.randn(3)
    saved = there_and_back(generators())
    drawn = torch.randn(5)
    torch.manual_seed(4)
    set_generators(saved)
    assert torch.equal(torch.randn(5), drawn)


def test_torch_is_not_loaded_for_its_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    saved = there_and_back(generators())
    set_generators(saved)
    assert "torch" not in sys.modules
