"""The legacy path of records, and their names before version 1.17."""

from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from flwr.app.renamed import ConfigsRecord, MetricsRecord, ParametersRecord, RecordSet
from flwr.compat.parameters import array_from_numpy

__all__ = [
    "Array",
    "ArrayRecord",
    "ConfigRecord",
    "ConfigsRecord",
    "MetricRecord",
    "MetricsRecord",
    "ParametersRecord",
    "RecordDict",
    "RecordSet",
    "array_from_numpy",
]
