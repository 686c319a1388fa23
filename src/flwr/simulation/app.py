"""Another path of names of this package."""

from flwr.simulation.legacy_app import start_simulation
from flwr.simulation.simulationio_connection import run_simulation_process

__all__ = ["run_simulation_process", "start_simulation"]
