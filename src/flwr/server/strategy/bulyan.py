"""`Bulyan` at its old path; see `flwr.compat.strategy.bulyan`."""

from flwr.compat.strategy.bulyan import Bulyan

__all__ = ["Bulyan"]
