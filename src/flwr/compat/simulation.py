"""``start_simulation``: a legacy simulation from a script."""

import sys
from collections.abc import Callable, Mapping
from functools import wraps
from logging import ERROR, INFO, WARNING
from typing import Any

from flwr.app import Context
from flwr.clientapp import ClientApp
from flwr.compat.client import Client
from flwr.compat.clients.client_manager import ClientManager
from flwr.compat.server.config import ServerConfig
from flwr.compat.server.history import History
from flwr.compat.server.run import run_on
from flwr.compat.server.server import Server
from flwr.compat.strategy.strategy import Strategy
from flwr.log import log, warn_deprecated_feature
from flwr.serverapp import Grid, ServerApp
from flwr.simulation.engine import simulate
from flwr.simulation.simulation import client_resources as resources_of

_OURS = {"num_cpus", "num_gpus"}  # of Ray's arguments


def start_simulation(
    *,
    client_fn: Callable[[Context], Client],
    num_clients: int,
    clients_ids: list[str] | None = None,
    client_resources: dict[str, float] | None = None,
    server: Server | None = None,
    config: ServerConfig | None = None,
    strategy: Strategy | None = None,
    client_manager: ClientManager | None = None,
    ray_init_args: Mapping[str, Any] | None = None,
    keep_initialised: bool | None = False,
    actor_type: Any = None,
    actor_kwargs: Mapping[str, Any] | None = None,
    actor_scheduling: Any = "DEFAULT",
) -> History:
    """Simulate a legacy federation. Deprecated: use ``flwr run``.

    Parameters
    ----------
    client_fn : Callable[[Context], Client]
        Makes a client for each message.
    num_clients : int
        How many virtual clients there are. Their ``node_config`` has ``partition-id``.
    clients_ids : list of str, optional
        Not supported any more: ends the process.
    client_resources : dict, optional
        ``num_cpus`` and ``num_gpus`` of one client; by default one CPU.
    server, config, strategy, client_manager : optional
        As for a ServerApp.
    ray_init_args : dict, optional
        ``num_cpus`` and ``num_gpus`` that the simulation may use. Others have no effect.
    keep_initialised, actor_type, actor_scheduling : optional
        Ray's own; they have no effect on the built-in engine.
    actor_kwargs : dict, optional
        ``on_actor_init_fn`` is called in each worker before its first client.

    Returns
    -------
    History
        What was measured.

    Raises
    ------
    ValueError
        If there are no clients, or not even one client's resources.
    SystemExit
        If `clients_ids` are given.
    """
    warn_deprecated_feature("flwr.simulation.start_simulation(): use the `flwr run` command.")
    if clients_ids is not None:
        log(ERROR, "`clients_ids` is not supported any more: use the context's `partition-id`.")
        sys.exit("start_simulation: `clients_ids` is not supported any more.")
    if isinstance(num_clients, bool) or not isinstance(num_clients, int) or num_clients < 1:
        raise ValueError(f"num_clients must be a whole number of 1 or more, not {num_clients!r}.")
    given = dict(ray_init_args or {})
    idle = sorted({*given} - _OURS)
    if idle:
        log(WARNING, "These ray_init_args have no effect here: %s", ", ".join(idle))
    config = ServerConfig() if config is None else config
    log(INFO, "Starting Flower simulation, config: %s", config)
    log(INFO, "")
    resources = resources_of(client_resources)
    log(INFO, "Flower VCE: Resources for each Virtual Client: %s", _shown(resources))
    found: list[History] = []
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        found.append(run_on(grid, server, config, strategy, client_manager))

    simulate(
        app,
        _client_app(client_fn, actor_kwargs),
        nodes=num_clients,
        resources=resources,
        init_args={key: value for key, value in given.items() if key in _OURS},
    )
    return found[0]


def _shown(resources: Any) -> dict[str, float]:
    return {"num_cpus": resources.num_cpus, "num_gpus": resources.num_gpus}


def _client_app(
    client_fn: Callable[[Context], Client], actor_kwargs: Mapping[str, Any] | None
) -> ClientApp:
    begin = dict(actor_kwargs or {}).get("on_actor_init_fn")
    if begin is None:
        return ClientApp(client_fn=client_fn)
    begun: list[bool] = []

    @wraps(client_fn)  # it may take the client's number
    def begin_first(context: Any) -> Client:
        if not begun:  # a copy of this list in each worker
            begun.append(True)
            begin()
        return client_fn(context)

    return ClientApp(client_fn=begin_first)
