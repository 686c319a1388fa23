"""The legacy path of `SecAggPlusWorkflow`."""

from flwr.compat.server.secure_aggregation import SecAggPlusWorkflow, WorkflowState

__all__ = ["SecAggPlusWorkflow", "WorkflowState"]
