"""Another path of ``run_simulation``; in the package, its name is the function's."""

from flwr.simulation.simulation import run_simulation

__all__ = ["run_simulation"]
