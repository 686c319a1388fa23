"""The path of `MetricRecord` before version 1.17."""

from flwr.app.renamed import MetricsRecord

__all__ = ["MetricsRecord"]
