"""Simulation: virtual nodes on worker processes of this machine."""

from flwr.simulation.simulation import run_simulation

__all__ = ["run_simulation"]
