"""The legacy path of `MetricRecord`."""

from flwr.app import MetricRecord
from flwr.app.renamed import MetricsRecord

__all__ = ["MetricRecord", "MetricsRecord"]
