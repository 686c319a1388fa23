"""A legacy run on a grid: from a ServerApp's parts to its history."""

from collections.abc import Callable
from contextlib import nullcontext
from logging import INFO
from pathlib import Path
from typing import Any

from flwr.app import Context
from flwr.compat.clients.client_manager import ClientManager
from flwr.compat.clients.grid_clients import GridClientManager, Membership
from flwr.compat.server.components import ServerAppComponents
from flwr.compat.server.config import ServerConfig
from flwr.compat.server.history import History
from flwr.compat.server.server import Server, init_defaults, run_fl
from flwr.compat.server.telling import GridTeller
from flwr.compat.strategy.strategy import Strategy
from flwr.log import log
from flwr.runtime.load import load_component
from flwr.serverapp import ServerApp
from flwr.serverapp.grid import Grid


def run_legacy(
    grid: Grid,
    context: Context,
    *,
    server_fn: Callable[[Context], ServerAppComponents] | None = None,
    **parts: Any,
) -> None:
    """Run a ServerApp that was made of legacy parts.

    Parameters
    ----------
    grid, context : Grid, Context
        The way to the nodes, and the run's configuration.
    server_fn : Callable, optional
        Makes the parts.
    **parts : optional
        ``server``, ``config``, ``strategy`` and ``client_manager``, if there is no `server_fn`.
    """
    if server_fn is not None:
        components = server_fn(context)
        if not isinstance(components, ServerAppComponents):
            raise TypeError(
                f"server_fn must return ServerAppComponents, not {type(components).__name__}."
            )
        parts = dict(vars(components))
    start_grid(grid=grid, **parts)


def run_server_app(
    grid: Grid,
    context: Context,
    server_app_dir: str,
    server_app_attr: str | None = None,
    loaded_server_app: ServerApp | None = None,
) -> Context:
    """Run a ServerApp on a grid; return its context.

    Parameters
    ----------
    grid, context : Grid, Context
        What the app is called with.
    server_app_dir : str
        The app's folder.
    server_app_attr : str, optional
        ``module:attribute`` in it.
    loaded_server_app : ServerApp, optional
        The app itself, in place of `server_app_attr`.

    Raises
    ------
    ValueError
        If both or none of the last two are given.
    AppLoadError
        If the app cannot be loaded.
    """
    if (server_app_attr is None) == (loaded_server_app is None):
        raise ValueError("Give either `server_app_attr` or `loaded_server_app`.")
    if server_app_attr is not None:
        loaded_server_app = load_component(server_app_attr, Path(server_app_dir), ServerApp)
    assert loaded_server_app is not None
    loaded_server_app(grid, context)
    return context


def start_grid(
    *,
    grid: Grid,
    server: Server | None = None,
    config: ServerConfig | None = None,
    strategy: Strategy | None = None,
    client_manager: ClientManager | None = None,
) -> History:
    """Run the legacy loop on the nodes of a grid.

    Parameters
    ----------
    grid : Grid
        The way to the nodes.
    server : Server, optional
        The loop; by default one over `strategy` and `client_manager`.
    config : ServerConfig, optional
        By default one round.
    strategy : Strategy, optional
        By default `FedAvg`.
    client_manager : ClientManager, optional
        Nodes are registered with it as they come and go. By default one that asks the grid.

    Returns
    -------
    History
        What was measured.
    """
    config = ServerConfig() if config is None else config
    log(INFO, "Starting Flower ServerApp, config: %s", config)
    log(INFO, "")
    return run_on(grid, server, config, strategy, client_manager)


def start_driver(
    *,
    driver: Grid,
    server: Server | None = None,
    config: ServerConfig | None = None,
    strategy: Strategy | None = None,
    client_manager: ClientManager | None = None,
) -> History:
    """Do what `start_grid` does; so it was called before version 1.17."""
    return start_grid(
        grid=driver,
        server=server,
        config=config,
        strategy=strategy,
        client_manager=client_manager,
    )


def run_on(
    grid: Grid,
    server: Server | None,
    config: ServerConfig | None,
    strategy: Strategy | None,
    client_manager: ClientManager | None,
) -> History:
    """Run the legacy loop on the nodes of a grid; parameters and result as for `start_grid`."""
    if server is None and client_manager is None:
        client_manager = GridClientManager(grid)
    server, config = init_defaults(server, config, strategy, client_manager)
    server.teller = GridTeller(grid)
    manager = server.client_manager()
    own = isinstance(manager, GridClientManager)
    with nullcontext() if own else Membership(grid, manager):
        return run_fl(server=server, config=config)
