"""The legacy path of `Server` and what its loop is made of."""

from flwr.compat.server.exchange import (
    EvaluateResultsAndFailures,
    FitResultsAndFailures,
    ReconnectResultsAndFailures,
    evaluate_client,
    evaluate_clients,
    fit_client,
    fit_clients,
    reconnect_client,
    reconnect_clients,
)
from flwr.compat.server.server import Server, init_defaults, run_fl

__all__ = [
    "EvaluateResultsAndFailures",
    "FitResultsAndFailures",
    "ReconnectResultsAndFailures",
    "Server",
    "evaluate_client",
    "evaluate_clients",
    "fit_client",
    "fit_clients",
    "init_defaults",
    "reconnect_client",
    "reconnect_clients",
    "run_fl",
]
