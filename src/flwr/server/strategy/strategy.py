"""`Strategy` at its old path; see `flwr.compat.strategy.strategy`."""

from flwr.compat.strategy.strategy import Strategy

__all__ = ["Strategy"]
