"""What a SuperLink is told when it is started."""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from flwr.runtime.appprocess import PATIENCE
from flwr.transport.address import Address
from flwr.transport.tls import ServerTls


class Service(StrEnum):
    """A protocol that a SuperLink serves."""

    APP = "app"
    FLEET = "fleet"
    CONTROL = "control"


class Isolation(StrEnum):
    """Who starts the app processes of runs."""

    SUBPROCESS = "subprocess"  # the SuperLink
    PROCESS = "process"  # `flower-superexec` or `flwr-serverapp`, from outside


@dataclass(frozen=True)
class Port:
    """An address, and what is served there.

    Attributes
    ----------
    address : Address
        Port 0 takes any that is free.
    services : tuple of Service
        None: the health endpoint only, which every port has.
    """

    address: Address
    services: tuple[Service, ...]


@dataclass(frozen=True)
class Settings:
    """How to run a SuperLink.

    Attributes
    ----------
    ports : tuple of Port
        Where to listen.
    tls : ServerTls or None
        For all ports but the health endpoint's; None serves plain HTTP.
    database : Path or None
        The SQLite file, created if missing; None keeps everything in memory.
    state_dir : Path
        Where the folders of runs lie, with what their processes printed.
    isolation : Isolation
        Who starts app processes.
    app_patience : float
        Seconds for which app processes on this machine go on trying while the SuperLink is away.
    simulation : bool
        Runs are simulations instead of ServerApps with nodes.
    simulation_options : dict
        Defaults for them, below what a run brings.
    lost_after : float, optional
        Seconds after which a node whose connection has broken is given up, where nodes are
        processes that nobody starts again. By default as long as any node may be away.
    """

    ports: tuple[Port, ...]
    state_dir: Path
    tls: ServerTls | None = None
    database: Path | None = None
    isolation: Isolation = Isolation.SUBPROCESS
    app_patience: float = PATIENCE
    simulation: bool = False
    simulation_options: dict[str, Any] = field(default_factory=dict)
    lost_after: float | None = None
