"""`Krum` at its old path; see `flwr.compat.strategy.krum`."""

from flwr.compat.strategy.krum import Krum

__all__ = ["Krum"]
