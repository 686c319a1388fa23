"""What other versions run simulations of a SuperLink with: names that say what is used here."""

from typing import Any, NoReturn

_INSTEAD = (
    "there is no such connection here. A SuperLink runs simulations with `flower-superlink "
    "--simulation`, a machine runs one with `flwr run`, and a script with `run_simulation`."
)


class SimulationIoConnection:
    """A connection to a SuperLink's simulations; not to be made here.

    Raises
    ------
    NotImplementedError
        Always; says what to use.
    """

    def __init__(
        self,
        runtime_api_address: str = "127.0.0.1:8000",
        insecure: bool = False,
        root_certificates: bytes | None = None,
        *,
        token: str | None = None,
        **others: Any,
    ) -> None:
        _refuse("SimulationIoConnection")


def run_simulation_process(
    runtime_api_address: str | None = None,
    log_queue: Any = None,
    token: Any = None,
    insecure: bool | None = None,
    certificates: bytes | None = None,
    parent_pid: int | None = None,
    runtime_dependency_install: bool = False,
    **others: Any,
) -> None:
    """Run the simulations of a SuperLink; not to be called here.

    Raises
    ------
    NotImplementedError
        Always; says what to use.
    """
    _refuse("run_simulation_process")


def _refuse(name: str) -> NoReturn:
    raise NotImplementedError(f"{name}: {_INSTEAD}")
