"""The legacy path of `SecAggWorkflow`."""

from flwr.compat.server.secure_aggregation import SecAggWorkflow

__all__ = ["SecAggWorkflow"]
