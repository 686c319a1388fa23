"""Workflows of secure aggregation: their names, which say that they are not built yet."""

from typing import Any, NoReturn

_WHY = (
    "Secure aggregation is not there yet: it comes with a later version. Until then, use the "
    "differential privacy wrappers of flwr.serverapp.strategy, or aggregate without masks."
)


class SecAggPlusWorkflow:
    """Secure aggregation with shares for some of the clients; not there yet."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _refuse(type(self).__name__)


class SecAggWorkflow(SecAggPlusWorkflow):
    """Secure aggregation with shares for all clients; not there yet."""


class WorkflowState:
    """The state of a workflow of secure aggregation; not there yet."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        _refuse(type(self).__name__)


def _refuse(name: str) -> NoReturn:
    raise NotImplementedError(f"{name}: {_WHY}")
