"""Between the legacy data classes and records: keys, values, both ways."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict, memory
from flwr.compat import bridge
from flwr.compat.parameters import (
    ndarray_to_bytes,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
)
from flwr.compat.typing import (
    Code,
    EvaluateIns,
    EvaluateRes,
    FitIns,
    FitRes,
    GetParametersIns,
    GetParametersRes,
    GetPropertiesIns,
    GetPropertiesRes,
    Parameters,
    Status,
    held_record,
)

ONES = np.ones((2, 2), np.float32)
OK = Status(Code.OK, "Success")
SCALARS: dict[str, Any] = {"b": True, "i": 2**70, "f": 0.5, "s": "text", "y": b"\x00"}


def parameters() -> Parameters:
    return ndarrays_to_parameters([ONES, np.arange(3)])


CASES: list[tuple[Any, Callable[..., Any], Callable[..., Any], list[str]]] = [
    (
        FitIns(parameters(), SCALARS),
        lambda it: bridge.fitins_to_recorddict(it, keep_input=True),
        lambda it: bridge.recorddict_to_fitins(it, keep_input=True),
        ["fitins.parameters", "fitins.config"],
    ),
    (
        FitRes(OK, parameters(), 7, SCALARS),
        lambda it: bridge.fitres_to_recorddict(it, keep_input=True),
        lambda it: bridge.recorddict_to_fitres(it, keep_input=True),
        ["fitres.metrics", "fitres.num_examples", "fitres.parameters", "fitres.status"],
    ),
    (
        EvaluateIns(parameters(), SCALARS),
        lambda it: bridge.evaluateins_to_recorddict(it, keep_input=True),
        lambda it: bridge.recorddict_to_evaluateins(it, keep_input=True),
        ["evaluateins.parameters", "evaluateins.config"],
    ),
    (
        EvaluateRes(Status(Code.EVALUATE_NOT_IMPLEMENTED, "no"), 0.25, 7, SCALARS),
        bridge.evaluateres_to_recorddict,
        bridge.recorddict_to_evaluateres,
        [
            "evaluateres.loss",
            "evaluateres.num_examples",
            "evaluateres.metrics",
            "evaluateres.status",
        ],
    ),
    (
        GetParametersIns(SCALARS),
        bridge.getparametersins_to_recorddict,
        bridge.recorddict_to_getparametersins,
        ["getparametersins.config"],
    ),
    (
        GetParametersRes(OK, parameters()),
        lambda it: bridge.getparametersres_to_recorddict(it, keep_input=True),
        lambda it: bridge.recorddict_to_getparametersres(it, keep_input=True),
        ["getparametersres.parameters", "getparametersres.status"],
    ),
    (
        GetPropertiesIns(SCALARS),
        bridge.getpropertiesins_to_recorddict,
        bridge.recorddict_to_getpropertiesins,
        ["getpropertiesins.config"],
    ),
    (
        GetPropertiesRes(OK, SCALARS),
        bridge.getpropertiesres_to_recorddict,
        bridge.recorddict_to_getpropertiesres,
        ["getpropertiesres.properties", "getpropertiesres.status"],
    ),
]


@pytest.mark.parametrize(("it", "encode", "decode", "keys"), CASES)
def test_each_class_becomes_its_records_and_comes_back(
    it: Any, encode: Callable[..., Any], decode: Callable[..., Any], keys: list[str]
) -> None:
    records = encode(it)
    assert list(records) == keys
    assert decode(records) == it
    assert decode(records) == it, "records can be read twice"


def test_numbers_and_the_status_have_records_of_their_own() -> None:
    records = bridge.fitres_to_recorddict(FitRes(OK, parameters(), 7, {}), keep_input=True)
    assert records["fitres.num_examples"] == MetricRecord({"num_examples": 7})
    assert records["fitres.status"] == ConfigRecord({"code": 0, "message": "Success"})
    records = bridge.evaluateres_to_recorddict(EvaluateRes(OK, 0.5, 7, {}))
    assert records["evaluateres.loss"] == MetricRecord({"loss": 0.5})


def test_a_code_may_be_its_number() -> None:
    status = Status(3, "no")  # type: ignore[arg-type]
    records = bridge.evaluateres_to_recorddict(EvaluateRes(status, 0.5, 7, {}))
    assert bridge.recorddict_to_evaluateres(records).status.code is Code.FIT_NOT_IMPLEMENTED


def test_serialised_tensors_pass_as_they_are() -> None:
    tensors = [ndarray_to_bytes(ONES), ndarray_to_bytes(np.arange(3))]
    record = bridge.parameters_to_arrayrecord(Parameters(tensors, "numpy.ndarray"), keep_input=True)
    assert list(record) == ["0", "1"]
    assert record["1"] == Array("", (), "numpy.ndarray", tensors[1])
    np.testing.assert_array_equal(record["0"].numpy(), ONES)


def test_bytes_of_another_kind_keep_their_type() -> None:
    given = Parameters([b"model", b""], "xgboost")
    record = bridge.parameters_to_arrayrecord(given, keep_input=True)
    assert record["0"].stype == "xgboost"
    assert bridge.arrayrecord_to_parameters(record, keep_input=True) == given
    untyped = Parameters([b"model"], "")
    record = bridge.parameters_to_arrayrecord(untyped, keep_input=True)
    assert bridge.arrayrecord_to_parameters(record, keep_input=True) == untyped


@pytest.mark.parametrize("given", [Parameters([], "numpy.ndarray"), ndarrays_to_parameters([])])
def test_no_tensors_keep_their_type_under_a_key_of_their_own(given: Parameters) -> None:
    record = bridge.parameters_to_arrayrecord(given, keep_input=True)
    assert record == {"_empty": Array("", (), "numpy.ndarray", b"")}
    assert bridge.arrayrecord_to_parameters(record, keep_input=True) == given


def test_an_empty_record_is_parameters_without_type() -> None:
    assert bridge.arrayrecord_to_parameters(ArrayRecord(), keep_input=True) == Parameters([], "")


def test_inputs_are_emptied_on_request() -> None:
    for given in (parameters(), Parameters([b"a"], "x")):
        record = bridge.parameters_to_arrayrecord(given, keep_input=False)
        assert given.tensors == []
        assert len(record) > 0
        assert bridge.arrayrecord_to_parameters(record, keep_input=False).tensors
        assert not record


def test_arrays_pass_without_being_serialised() -> None:
    given = parameters()
    record = bridge.parameters_to_arrayrecord(given, keep_input=True)
    back = bridge.arrayrecord_to_parameters(record, keep_input=True)
    assert held_record(given) is not None
    assert held_record(back) is not None
    assert bridge.record_of(back)["0"].dtype == "float32"


@pytest.mark.parametrize("packed", [True, False])
def test_arrays_are_numbered_whatever_a_message_calls_them(packed: bool) -> None:
    record = ArrayRecord({"weight": Array(ONES), "bias": Array(np.arange(3))})
    if packed:
        memory.packed(record)
    back = bridge.arrayrecord_to_parameters(record, keep_input=True)
    again = bridge.parameters_to_arrayrecord(back, keep_input=True)
    assert list(again) == ["0", "1"]
    np.testing.assert_array_equal(parameters_to_ndarrays(back)[0], ONES)


def test_what_is_done_to_a_record_afterwards_does_not_reach_the_parameters() -> None:
    record = ArrayRecord([ONES])
    back = bridge.arrayrecord_to_parameters(record, keep_input=True)
    record["0"].data = b"changed"
    record["1"] = Array(ONES)
    assert len(parameters_to_ndarrays(back)) == 1
    np.testing.assert_array_equal(parameters_to_ndarrays(back)[0], ONES)


def test_wrong_values_are_named_with_their_record() -> None:
    with pytest.raises(TypeError, match="'acc'") as caught:
        bridge.fitres_to_recorddict(FitRes(OK, parameters(), 1, {"acc": None}), keep_input=True)  # type: ignore[dict-item]
    assert caught.value.__notes__ == ["It is in 'fitres.metrics'."]
    with pytest.raises(TypeError, match="loss"):
        bridge.evaluateres_to_recorddict(EvaluateRes(OK, "low", 1, {}))  # type: ignore[arg-type]


def test_lists_travel_but_are_no_legacy_scalars() -> None:
    records = bridge.fitres_to_recorddict(
        FitRes(OK, parameters(), 1, {"curve": [0.1, 0.2]}),  # type: ignore[dict-item]
        keep_input=True,
    )
    with pytest.raises(TypeError, match=r"not a 1:1 mapping .* 'curve' of 'fitres.metrics'"):
        bridge.recorddict_to_fitres(records, keep_input=True)


def test_missing_records_are_named() -> None:
    with pytest.raises(KeyError, match=r"fitins\.parameters"):
        bridge.recorddict_to_fitins(RecordDict(), keep_input=True)
