"""Legacy workflows."""

from flwr.compat.server.secure_aggregation import SecAggPlusWorkflow as SecAggPlusWorkflow
from flwr.compat.server.secure_aggregation import SecAggWorkflow as SecAggWorkflow
from flwr.compat.server.workflow import DefaultWorkflow as DefaultWorkflow

__all__ = ["DefaultWorkflow", "SecAggPlusWorkflow", "SecAggWorkflow"]
