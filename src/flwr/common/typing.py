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
    "Any", "Callable", "ClientMessage", "Code", "Config", "ConfigRecordValues", "ConfigScalar",
    "ConfigScalarList", "Dict", "DisconnectRes", "Enum", "EvaluateIns", "EvaluateRes", "FitIns",
    "FitRes", "GetParametersIns", "GetParametersRes", "GetPropertiesIns", "GetPropertiesRes",
    "List", "MetricRecordValues", "MetricScalar", "MetricScalarList", "Metrics",
    "MetricsAggregationFn", "NDArray", "NDArrayFloat", "NDArrayInt", "NDArrays", "Optional",
    "Parameters", "Properties", "ReconnectIns", "Run", "RunStatus", "Scalar", "ServerMessage",
    "Status", "Tuple", "Union", "UserConfig", "UserConfigValue", "Value", "dataclass", "np",
    "npt",
]  # fmt: skip
