"""The legacy path of the default workflow and its steps."""

from flwr.compat.server.workflow import (
    DefaultWorkflow,
    default_centralized_evaluation_workflow,
    default_evaluate_workflow,
    default_fit_workflow,
    default_init_params_workflow,
)

__all__ = [
    "DefaultWorkflow",
    "default_centralized_evaluation_workflow",
    "default_evaluate_workflow",
    "default_fit_workflow",
    "default_init_params_workflow",
]
