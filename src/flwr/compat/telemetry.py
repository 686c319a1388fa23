"""Telemetry's names. Nothing is ever sent, whatever the environment says."""

from concurrent.futures import Future
from enum import StrEnum, auto
from typing import Any


class EventType(StrEnum):
    """What could be told; the values are the names."""

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[str]) -> str:
        return name

    PING = auto()
    START_CLIENT_ENTER = auto()
    START_CLIENT_LEAVE = auto()
    START_SERVER_ENTER = auto()
    START_SERVER_LEAVE = auto()
    START_SIMULATION_ENTER = auto()
    START_SIMULATION_LEAVE = auto()
    FLWR_SIMULATION_RUN_ENTER = auto()
    FLWR_SIMULATION_RUN_LEAVE = auto()
    FLWR_SERVERAPP_RUN_ENTER = auto()
    FLWR_SERVERAPP_RUN_LEAVE = auto()
    FLWR_CLIENTAPP_RUN_ENTER = auto()
    FLWR_CLIENTAPP_RUN_LEAVE = auto()
    FLWR_AGENTAPP_RUN_ENTER = auto()
    FLWR_AGENTAPP_RUN_LEAVE = auto()
    FLWR_MODEL_RUN_ENTER = auto()
    FLWR_MODEL_RUN_LEAVE = auto()
    FLWR_CONNECTOR_RUN_ENTER = auto()
    FLWR_CONNECTOR_RUN_LEAVE = auto()
    CLI_FLOWER_SIMULATION_ENTER = auto()
    CLI_FLOWER_SIMULATION_LEAVE = auto()
    PYTHON_API_RUN_SIMULATION_ENTER = auto()
    PYTHON_API_RUN_SIMULATION_LEAVE = auto()
    RUN_SUPERLINK_ENTER = auto()
    RUN_SUPERLINK_LEAVE = auto()
    RUN_SUPERNODE_ENTER = auto()
    RUN_SUPERNODE_LEAVE = auto()
    RUN_SUPEREXEC_ENTER = auto()
    RUN_SUPEREXEC_LEAVE = auto()


def event(event_type: EventType, event_details: dict[str, Any] | None = None) -> Future[str]:
    """Tell nobody.

    Parameters
    ----------
    event_type : EventType
        What happened.
    event_details : dict, optional
        More on it.

    Returns
    -------
    concurrent.futures.Future[str]
        Done, with the result ``"disabled"``.
    """
    told: Future[str] = Future()
    told.set_result("disabled")
    return told
