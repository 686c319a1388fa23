"""Workflows of secure aggregation."""

from flwr.compat.server.secure_aggregation import SecAggPlusWorkflow as SecAggPlusWorkflow
from flwr.compat.server.secure_aggregation import SecAggWorkflow as SecAggWorkflow

__all__ = ["SecAggPlusWorkflow", "SecAggWorkflow"]
