"""Running a ServerApp against virtual nodes: the simulation, from one call.

Strategy → pool → strategy: no hub, no sockets but the workers', no database on the way.
"""

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from flwr.app import Context, RecordDict, UserConfig
from flwr.app.events import Event, RunStarted
from flwr.clientapp import ClientApp
from flwr.errors import EngineError
from flwr.log import log
from flwr.runtime.inprocess import InProcessPool
from flwr.runtime.launch import ZygoteHandle, pickle_app
from flwr.runtime.load import load_component
from flwr.runtime.pool import WorkerPool
from flwr.runtime.runinfo import RunInfo
from flwr.runtime.tasks import TaskPool
from flwr.runtime.zygote import started_for_clients
from flwr.serverapp import ServerApp
from flwr.simulation.capacity import (
    Capacity,
    ClientResources,
    bytes_to_hold_together,
    plan,
    workers_that_fit,
)
from flwr.simulation.grid import SimulationGrid
from flwr.simulation.nodes import NodeIds


@dataclass(frozen=True)
class AppReference:
    """A ClientApp by name, so that only the workers need to import it.

    Parameters
    ----------
    component : str
        ``module:attribute``.
    app_dir : Path
        The folder that the module is found in.
    """

    component: str
    app_dir: Path


def start_workers_early(
    app: AppReference,
    *,
    resources: ClientResources | None = None,
    output: int | None = None,
) -> ZygoteHandle:
    """Begin loading a ClientApp, before anything else is imported.

    Parameters
    ----------
    app : AppReference
        The ClientApp.
    resources : ClientResources, optional
        What one client needs; its CPUs give the number of threads.
    output : int, optional
        Descriptor for the workers' standard output and error; inherited by default.

    Returns
    -------
    ZygoteHandle
        To be given to ``simulate``, or closed.
    """
    handle = ZygoteHandle(threads=_threads(resources or ClientResources()), output=output)
    handle.load(component=app.component, app_dir=app.app_dir)
    return handle


def simulate(
    server_app: ServerApp,
    client_app: ClientApp | AppReference,
    *,
    nodes: int,
    resources: ClientResources | None = None,
    init_args: Mapping[str, Any] | None = None,
    run: RunInfo | None = None,
    run_config: UserConfig | None = None,
    listener: Callable[[Event], None] | None = None,
    debug: bool = False,
    output: int | None = None,
    zygote: ZygoteHandle | None = None,
    environment: Mapping[str, str] | None = None,
) -> Context:
    """Run a ServerApp in the calling thread against ``nodes`` virtual nodes.

    Parameters
    ----------
    server_app : ServerApp
        Called with a grid and a context.
    client_app : ClientApp or AppReference
        What the nodes run.
    nodes : int
        How many virtual nodes there are, at least 1.
    resources : ClientResources, optional
        What one client needs; 1 CPU by default.
    init_args : mapping, optional
        ``num_cpus`` and ``num_gpus`` that the simulation may use.
    run : RunInfo, optional
        The run, as apps see it.
    run_config : dict, optional
        The contexts' ``run_config``.
    listener : callable, optional
        Called with each event, in the thread that causes it.
    debug : bool
        Whether clients run in the calling thread, so that breakpoints work.
    output : int, optional
        Descriptor for the workers' standard output and error; inherited by default.
    zygote : ZygoteHandle, optional
        From ``start_workers_early``; closed at the end.
    environment : mapping, optional
        Further environment variables of the workers.

    Returns
    -------
    Context
        The ServerApp's context as it left it.

    Raises
    ------
    ValueError
        If there are no nodes, or not even one client's resources.
    AppLoadError
        If the ClientApp does not load.
    Exception
        What the ServerApp raised, unchanged.
    """
    pool: TaskPool | None = None
    try:
        if started_for_clients():
            raise EngineError(
                "A simulation was started while its own ClientApp was loaded, or by a client.",
                hint="The module that defines the ClientApp runs it too: put the call of "
                "run_simulation under `if __name__ == '__main__':`, or into another file.",
            )
        if isinstance(nodes, bool) or not isinstance(nodes, int) or nodes < 1:
            raise ValueError(f"num_supernodes must be a whole number of 1 or more, not {nodes!r}.")
        info = run or RunInfo(run_id=0)
        needs = resources or ClientResources()
        capacity = plan(needs, nodes, init_args)
        config = dict(run_config or {})
        if debug or not hasattr(os, "fork"):
            why = "Debug mode" if debug else "This system cannot fork workers"
            log(logging.INFO, "%s: clients run one at a time in this process.", why)
            pool = InProcessPool(_load(client_app), run_id=info.run_id, run_config=config)
        else:
            pool = _worker_pool(
                client_app, capacity, needs, info, config, output, zygote, environment
            )
            log(
                logging.INFO,
                "Simulating %d nodes, %d at a time (%s).",
                nodes,
                capacity.workers,
                capacity.reason,
            )
        if listener is not None:
            workers = capacity.workers if isinstance(pool, WorkerPool) else 0
            listener(RunStarted(info.fab_id, nodes, workers))
        grid = SimulationGrid(pool, NodeIds(nodes), info, listener)
        context = Context(
            run_id=info.run_id, node_id=0, node_config={}, state=RecordDict(), run_config=config
        )
        server_app(grid, context)
        return context
    finally:
        if pool is not None:
            pool.close()
        if zygote is not None:
            zygote.close()


def _threads(resources: ClientResources) -> int:
    return max(1, int(resources.num_cpus))


def _load(client_app: ClientApp | AppReference) -> ClientApp:
    if isinstance(client_app, AppReference):
        return load_component(client_app.component, client_app.app_dir, ClientApp)
    return client_app


def _worker_pool(
    client_app: ClientApp | AppReference,
    capacity: Capacity,
    resources: ClientResources,
    run: RunInfo,
    run_config: UserConfig,
    output: int | None,
    zygote: ZygoteHandle | None,
    environment: Mapping[str, str] | None,
) -> WorkerPool:
    """Start the zygote if it has not been, and a pool on it."""
    tries: Iterator[Callable[[], BinaryIO]] = iter(())  # further ways to hand the app over
    if zygote is None and isinstance(client_app, AppReference):
        zygote = start_workers_early(client_app, resources=resources, output=output)
    elif zygote is None:
        assert isinstance(client_app, ClientApp)
        app = client_app
        zygote = ZygoteHandle(threads=_threads(resources), output=output)
        try:
            zygote.load(pickled=pickle_app(app))  # while the process starts
        except BaseException:
            zygote.close()
            raise
        tries = iter([lambda: pickle_app(app, by_value=True)])
    handle = zygote

    def reload() -> bool:
        again = next(tries, None)
        if again is not None:
            handle.load(pickled=again())
        return again is not None

    return WorkerPool(
        handle,
        capacity.workers,
        run_id=run.run_id,
        run_config=run_config,
        environments=lambda index: {**(environment or {}), **capacity.environment(index)},
        reload=reload,
        fitting=workers_that_fit,
        together_bytes=bytes_to_hold_together(),
    )
