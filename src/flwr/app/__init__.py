"""What travels between the two halves of an app: messages, and the records they carry."""

from flwr.app.array import Array
from flwr.app.arrayrecord import ArrayRecord
from flwr.app.context import Context, UserConfig, UserConfigValue
from flwr.app.error import Error
from flwr.app.message import DEFAULT_TTL, Message
from flwr.app.messagetype import MessageType
from flwr.app.metadata import Metadata
from flwr.app.recorddict import RecordDict
from flwr.app.typedrecords import (
    ConfigRecord,
    ConfigRecordValues,
    ConfigScalar,
    ConfigScalarList,
    MetricRecord,
    MetricRecordValues,
    MetricScalar,
    MetricScalarList,
)

__all__ = [
    "DEFAULT_TTL",
    "Array",
    "ArrayRecord",
    "ConfigRecord",
    "ConfigRecordValues",
    "ConfigScalar",
    "ConfigScalarList",
    "Context",
    "Error",
    "Message",
    "MessageType",
    "Metadata",
    "MetricRecord",
    "MetricRecordValues",
    "MetricScalar",
    "MetricScalarList",
    "RecordDict",
    "UserConfig",
    "UserConfigValue",
]
