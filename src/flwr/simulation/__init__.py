"""Simulation: virtual nodes on worker processes of this machine."""

from flwr.simulation.legacy_app import start_simulation
from flwr.simulation.run_simulation import run_simulation
from flwr.simulation.simulationio_connection import SimulationIoConnection, run_simulation_process

RAY_IMPORT_ERROR = "Ray is not needed: simulations run on the built-in engine."

__all__ = [
    "SimulationIoConnection",
    "run_simulation",
    "run_simulation_process",
    "start_simulation",
]
