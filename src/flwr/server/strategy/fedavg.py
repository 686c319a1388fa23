"""`FedAvg` at its old path; see `flwr.compat.strategy.fedavg`."""

from flwr.compat.strategy.fedavg import (
    WARNING_MIN_AVAILABLE_CLIENTS_TOO_LOW,
    FedAvg,
)

__all__ = ["WARNING_MIN_AVAILABLE_CLIENTS_TOO_LOW", "FedAvg"]
