"""What both halves of legacy apps use; new apps use `flwr.app`."""

from flwr.app import (
    DEFAULT_TTL,
    Array,
    ArrayRecord,
    ConfigRecord,
    ConfigRecordValues,
    Context,
    Error,
    Message,
    MessageType,
    Metadata,
    MetricRecord,
    MetricRecordValues,
    RecordDict,
)
from flwr.app.messagetype import MessageTypeLegacy
from flwr.app.renamed import ConfigsRecord, MetricsRecord, ParametersRecord, RecordSet
from flwr.clock import now
from flwr.common import config as config
from flwr.common import constant as constant
from flwr.common import context as context
from flwr.common import date as date
from flwr.common import differential_privacy as differential_privacy
from flwr.common import differential_privacy_constants as differential_privacy_constants
from flwr.common import dp as dp
from flwr.common import logger as logger
from flwr.common import message as message
from flwr.common import parameter as parameter
from flwr.common import record as record
from flwr.common import recorddict_compat as recorddict_compat
from flwr.common import recordset_compat as recordset_compat
from flwr.common import secure_aggregation as secure_aggregation
from flwr.common import telemetry as telemetry
from flwr.common import typing as typing
from flwr.common import version as version
from flwr.common.typing import ConfigsRecordValues as ConfigsRecordValues
from flwr.common.typing import MetricsRecordValues as MetricsRecordValues
from flwr.compat.constants import GRPC_MAX_MESSAGE_LENGTH
from flwr.compat.parameters import (
    array_from_numpy,
    bytes_to_ndarray,
    ndarray_to_bytes,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
)
from flwr.compat.telemetry import EventType, event
from flwr.compat.typing import (
    ClientMessage,
    Code,
    Config,
    DisconnectRes,
    EvaluateIns,
    EvaluateRes,
    FitIns,
    FitRes,
    GetParametersIns,
    GetParametersRes,
    GetPropertiesIns,
    GetPropertiesRes,
    Metrics,
    MetricsAggregationFn,
    NDArray,
    NDArrayFloat,
    NDArrayInt,
    NDArrays,
    Parameters,
    Properties,
    ReconnectIns,
    Scalar,
    ServerMessage,
    Status,
    Value,
)  # fmt: skip
from flwr.log import configure, log

__all__ = [
    "DEFAULT_TTL", "GRPC_MAX_MESSAGE_LENGTH", "Array", "ArrayRecord", "ClientMessage", "Code",
    "Config", "ConfigRecord", "ConfigRecordValues", "ConfigsRecord", "Context", "DisconnectRes",
    "Error", "EvaluateIns", "EvaluateRes", "EventType", "FitIns", "FitRes", "GetParametersIns",
    "GetParametersRes", "GetPropertiesIns", "GetPropertiesRes", "Message", "MessageType",
    "MessageTypeLegacy", "Metadata", "MetricRecord", "MetricRecordValues", "Metrics",
    "MetricsAggregationFn", "MetricsRecord", "NDArray", "NDArrayFloat", "NDArrayInt", "NDArrays",
    "Parameters", "ParametersRecord", "Properties", "ReconnectIns", "RecordDict", "RecordSet",
    "Scalar", "ServerMessage", "Status", "Value", "array_from_numpy", "bytes_to_ndarray",
    "configure", "event", "log", "ndarray_to_bytes", "ndarrays_to_parameters", "now",
    "parameters_to_ndarrays",
]  # fmt: skip
