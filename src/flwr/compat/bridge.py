"""Between the legacy data classes and records: what legacy messages carry.

Keys are ``<lower-case class name>.<field>``. Arrays pass without being serialised.
"""

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from typing import Any, cast

from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict, memory
from flwr.app.layout import Layout, Part
from flwr.compat.typing import (
    EMPTY_TENSOR_KEY,
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
    Scalar,
    Status,
    held_record,
    lazy_parameters,
)

_SCALARS = (bool, int, float, str, bytes)


def parameters_to_arrayrecord(parameters: Parameters, keep_input: bool) -> ArrayRecord:
    """Return the arrays of parameters as a record.

    Parameters
    ----------
    parameters : Parameters
        Serialised arrays become ``Array(dtype="", shape=(), stype=tensor_type, data=tensor)``
        under the keys "0", "1", …; none at all become the single key "_empty".
    keep_input : bool
        With False, the parameters are empty afterwards.

    Raises
    ------
    TypeError
        If they are something else, such as a list of arrays.
    """
    if not isinstance(parameters, Parameters):
        raise TypeError(
            "`parameters` must be Parameters (see ndarrays_to_parameters), not "
            f"{type(parameters).__name__}."
        )
    record = held_record(parameters)
    if record is None:
        stype = parameters.tensor_type
        arrays = {
            str(index): Array(dtype="", shape=(), stype=stype, data=tensor)
            for index, tensor in enumerate(parameters.tensors)
        } or {EMPTY_TENSOR_KEY: Array(dtype="", shape=(), stype=stype, data=b"")}
        record = ArrayRecord(array_dict=arrays, keep_input=False)
    elif not record:
        return _no_arrays(parameters.tensor_type)
    else:
        record = deepcopy(record)
    if not keep_input:
        parameters.tensors = []
    return record


def _no_arrays(stype: str) -> ArrayRecord:
    return ArrayRecord({EMPTY_TENSOR_KEY: Array(dtype="", shape=(), stype=stype, data=b"")})


def arrayrecord_to_parameters(record: ArrayRecord, keep_input: bool) -> Parameters:
    """Return a record's arrays as parameters, in order.

    Parameters
    ----------
    record : ArrayRecord
        An empty one gives ``Parameters([], "")``.
    keep_input : bool
        With False, the record is empty afterwards.
    """
    if not record:
        return Parameters([], "")
    stype = _stype(record)
    if len(record) == 1 and EMPTY_TENSOR_KEY in record:
        parameters = Parameters([], stype)
    else:
        parameters = lazy_parameters(numbered(record), stype)
    if not keep_input:
        record.clear()
    return parameters


def _stype(record: ArrayRecord) -> str:
    if memory.is_packed(record):
        return memory.layout_of(record).entries[0].stype
    return next(iter(record.values())).stype


def numbered(record: ArrayRecord) -> ArrayRecord:
    """Return a snapshot of a record, its arrays named by their places as parameters' are."""
    names = _places(len(record))
    packed = memory.is_packed(record)
    if names == (memory.layout_of(record).names if packed else tuple(record)):
        return record.__deepcopy__({})  # without asking for its class
    backing = memory.backing_of(record)
    if backing is None:
        return ArrayRecord(dict(zip(names, record.values(), strict=True)))
    parts = [
        Part(name, e.dtype, e.shape, e.fortran, e.stype, e.raw, e.nbytes)
        for name, e in zip(names, memory.layout_of(record).entries, strict=True)
    ]
    return memory.adopt(Layout.of_parts(parts), backing)


@cache  # each result of a round asks
def _places(count: int) -> tuple[str, ...]:
    return tuple(str(place) for place in range(count))


def record_of(parameters: Parameters) -> ArrayRecord:
    """Return a record of the parameters' arrays; only for reading."""
    record = held_record(parameters)
    return parameters_to_arrayrecord(parameters, keep_input=True) if record is None else record


def fitins_to_recorddict(fitins: FitIns, keep_input: bool) -> RecordDict:
    """Return the records that stand for an instruction to train."""
    return _ins_to_recorddict("fitins", fitins, keep_input)


def recorddict_to_fitins(recorddict: RecordDict, keep_input: bool) -> FitIns:
    """Return the instruction to train that records stand for."""
    return FitIns(*_recorddict_to_ins("fitins", recorddict, keep_input))


def evaluateins_to_recorddict(evaluateins: EvaluateIns, keep_input: bool) -> RecordDict:
    """Return the records that stand for an instruction to evaluate."""
    return _ins_to_recorddict("evaluateins", evaluateins, keep_input)


def recorddict_to_evaluateins(recorddict: RecordDict, keep_input: bool) -> EvaluateIns:
    """Return the instruction to evaluate that records stand for."""
    return EvaluateIns(*_recorddict_to_ins("evaluateins", recorddict, keep_input))


def _ins_to_recorddict(name: str, ins: FitIns | EvaluateIns, keep_input: bool) -> RecordDict:
    content = RecordDict()
    content[f"{name}.parameters"] = parameters_to_arrayrecord(ins.parameters, keep_input)
    content[f"{name}.config"] = _config_record(ins.config, f"{name}.config")
    return content


def _recorddict_to_ins(
    name: str, content: RecordDict, keep_input: bool
) -> tuple[Parameters, dict[str, Scalar]]:
    record = cast("ArrayRecord", content[f"{name}.parameters"])
    config = _scalars(content, f"{name}.config")
    return arrayrecord_to_parameters(record, keep_input), config


def fitres_to_recorddict(fitres: FitRes, keep_input: bool) -> RecordDict:
    """Return the records that stand for a training's result."""
    content = RecordDict()
    content["fitres.metrics"] = _config_record(fitres.metrics, "fitres.metrics")
    content["fitres.num_examples"] = _metric_record("fitres", "num_examples", fitres.num_examples)
    content["fitres.parameters"] = parameters_to_arrayrecord(fitres.parameters, keep_input)
    content["fitres.status"] = _status_record(fitres.status)
    return content


def recorddict_to_fitres(recorddict: RecordDict, keep_input: bool) -> FitRes:
    """Return the training's result that records stand for."""
    record = cast("ArrayRecord", recorddict["fitres.parameters"])
    return FitRes(
        status=_status(recorddict, "fitres"),
        parameters=arrayrecord_to_parameters(record, keep_input),
        num_examples=_number(recorddict, "fitres", "num_examples"),
        metrics=_scalars(recorddict, "fitres.metrics"),
    )


def evaluateres_to_recorddict(evaluateres: EvaluateRes) -> RecordDict:
    """Return the records that stand for an evaluation's result."""
    content = RecordDict()
    content["evaluateres.loss"] = _metric_record("evaluateres", "loss", evaluateres.loss)
    content["evaluateres.num_examples"] = _metric_record(
        "evaluateres", "num_examples", evaluateres.num_examples
    )
    content["evaluateres.metrics"] = _config_record(evaluateres.metrics, "evaluateres.metrics")
    content["evaluateres.status"] = _status_record(evaluateres.status)
    return content


def recorddict_to_evaluateres(recorddict: RecordDict) -> EvaluateRes:
    """Return the evaluation's result that records stand for."""
    return EvaluateRes(
        status=_status(recorddict, "evaluateres"),
        loss=_number(recorddict, "evaluateres", "loss"),
        num_examples=_number(recorddict, "evaluateres", "num_examples"),
        metrics=_scalars(recorddict, "evaluateres.metrics"),
    )


def getparametersins_to_recorddict(getparameters_ins: GetParametersIns) -> RecordDict:
    """Return the records that stand for a question for parameters."""
    name = "getparametersins.config"
    return RecordDict({name: _config_record(getparameters_ins.config, name)})


def recorddict_to_getparametersins(recorddict: RecordDict) -> GetParametersIns:
    """Return the question for parameters that records stand for."""
    return GetParametersIns(_scalars(recorddict, "getparametersins.config"))


def getparametersres_to_recorddict(
    getparametersres: GetParametersRes, keep_input: bool
) -> RecordDict:
    """Return the records that stand for a client's parameters."""
    content = RecordDict()
    content["getparametersres.parameters"] = parameters_to_arrayrecord(
        getparametersres.parameters, keep_input
    )
    content["getparametersres.status"] = _status_record(getparametersres.status)
    return content


def recorddict_to_getparametersres(recorddict: RecordDict, keep_input: bool) -> GetParametersRes:
    """Return the client's parameters that records stand for."""
    record = cast("ArrayRecord", recorddict["getparametersres.parameters"])
    return GetParametersRes(
        status=_status(recorddict, "getparametersres"),
        parameters=arrayrecord_to_parameters(record, keep_input),
    )


def getpropertiesins_to_recorddict(getpropertiesins: GetPropertiesIns) -> RecordDict:
    """Return the records that stand for a question for properties."""
    name = "getpropertiesins.config"
    return RecordDict({name: _config_record(getpropertiesins.config, name)})


def recorddict_to_getpropertiesins(recorddict: RecordDict) -> GetPropertiesIns:
    """Return the question for properties that records stand for."""
    return GetPropertiesIns(_scalars(recorddict, "getpropertiesins.config"))


def getpropertiesres_to_recorddict(getpropertiesres: GetPropertiesRes) -> RecordDict:
    """Return the records that stand for a client's properties."""
    name = "getpropertiesres.properties"
    content = RecordDict({name: _config_record(getpropertiesres.properties, name)})
    content["getpropertiesres.status"] = _status_record(getpropertiesres.status)
    return content


def recorddict_to_getpropertiesres(recorddict: RecordDict) -> GetPropertiesRes:
    """Return the client's properties that records stand for."""
    return GetPropertiesRes(
        status=_status(recorddict, "getpropertiesres"),
        properties=_scalars(recorddict, "getpropertiesres.properties"),
    )


def _config_record(values: Mapping[str, Any], where: str) -> ConfigRecord:
    try:
        if not isinstance(values, Mapping):
            raise TypeError(f"There must be a dict, not {type(values).__name__}.")
        return ConfigRecord(dict(values))
    except TypeError as error:
        error.add_note(f"It is in '{where}'.")
        raise


def _metric_record(result: str, field: str, value: Any) -> MetricRecord:
    try:
        return MetricRecord({field: value})
    except TypeError as error:
        error.add_note(f"It is '{field}' of '{result}'.")
        raise


def _status_record(status: Status) -> ConfigRecord:
    if not isinstance(status, Status):
        raise TypeError(f"`status` must be a Status, not {type(status).__name__}.")
    return ConfigRecord({"code": int(Code(status.code).value), "message": status.message})


def _status(content: RecordDict, result: str) -> Status:
    record = cast("ConfigRecord", content[f"{result}.status"])
    return Status(Code(record["code"]), str(record["message"]))


def _number(content: RecordDict, result: str, field: str) -> Any:
    return cast("MetricRecord", content[f"{result}.{field}"])[field]


def _scalars(content: RecordDict, name: str) -> dict[str, Scalar]:
    values = dict(cast("ConfigRecord", content[name]).items())
    for key, value in values.items():
        if not isinstance(value, _SCALARS):
            raise TypeError(
                "There is not a 1:1 mapping between `common.Scalar` types and those supported in "
                f"records: '{key}' of '{name}' is a {type(value).__name__}. Use a bool, int, "
                "float, str or bytes."
            )
    return cast("dict[str, Scalar]", values)
