"""Workflows of secure aggregation: their names, which say that they are not built yet."""

from typing import Any

from flwr.compat.secure_aggregation.later import refuse


class SecAggPlusWorkflow:
    """Secure aggregation with shares for some of the clients; not there yet."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        refuse(type(self).__name__)


class SecAggWorkflow(SecAggPlusWorkflow):
    """Secure aggregation with shares for all clients; not there yet."""


class WorkflowState:
    """The state of a workflow of secure aggregation; not there yet."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        refuse(type(self).__name__)
