"""`FedYogi` at its old path; see `flwr.compat.strategy.fedyogi`."""

from flwr.compat.strategy.fedyogi import FedYogi

__all__ = ["FedYogi"]
