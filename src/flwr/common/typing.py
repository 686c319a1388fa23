"""The legacy path of types; what apps found here by accident is here, too."""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Callable, Dict, List, Optional, Tuple, Union  # noqa: UP035 - for apps

import numpy as np
import numpy.typing as npt

from flwr.app import (
    ConfigRecordValues,
    ConfigScalar,
    ConfigScalarList,
    MetricRecordValues,
    MetricScalar,
    MetricScalarList,
    UserConfig,
    UserConfigValue,
)  # fmt: skip
from flwr.app import ConfigRecordValues as ConfigsRecordValues
from flwr.app import ConfigScalar as ConfigsScalar
from flwr.app import ConfigScalarList as ConfigsScalarList
from flwr.app import MetricRecordValues as MetricsRecordValues
from flwr.app import MetricScalar as MetricsScalar
from flwr.app import MetricScalarList as MetricsScalarList
from flwr.compat.processes import (
    Actor,
    ClientAppOutputCode,
    ClientAppOutputStatus,
    Event,
    Fab,
    InvalidRunStatusException,
    LogEntry,
    RunNotRunningException,
    UserAuthCredentials,
    UserAuthLoginDetails,
    UserInfo,
)  # fmt: skip
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
from flwr.runtime.runinfo import RunInfo as Run
from flwr.runtime.runinfo import RunStatus

__all__ = [
    "Actor", "Any", "Callable", "ClientAppOutputCode", "ClientAppOutputStatus", "ClientMessage",
    "Code", "Config", "ConfigRecordValues", "ConfigScalar", "ConfigScalarList",
    "ConfigsRecordValues", "ConfigsScalar", "ConfigsScalarList", "Dict", "DisconnectRes", "Enum",
    "EvaluateIns", "EvaluateRes", "Event", "Fab", "FitIns", "FitRes", "GetParametersIns",
    "GetParametersRes", "GetPropertiesIns", "GetPropertiesRes", "InvalidRunStatusException", "List",
    "LogEntry", "MetricRecordValues", "MetricScalar", "MetricScalarList", "Metrics",
    "MetricsAggregationFn", "MetricsRecordValues", "MetricsScalar", "MetricsScalarList", "NDArray",
    "NDArrayFloat", "NDArrayInt", "NDArrays", "Optional", "Parameters", "Properties",
    "ReconnectIns", "Run", "RunNotRunningException", "RunStatus", "Scalar", "ServerMessage",
    "Status", "Tuple", "Union", "UserAuthCredentials", "UserAuthLoginDetails", "UserConfig",
    "UserConfigValue", "UserInfo", "Value", "dataclass", "np", "npt",
]  # fmt: skip
