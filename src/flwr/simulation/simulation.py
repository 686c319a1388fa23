"""``run_simulation``: a simulation from a script or a notebook."""

import logging
from collections.abc import Mapping
from typing import Any

from flwr.clientapp import ClientApp
from flwr.log import log, update_console_handler
from flwr.serverapp import ServerApp
from flwr.simulation.capacity import ClientResources
from flwr.simulation.engine import simulate

BackendConfig = Mapping[str, Any]

_KNOWN_KEYS = ("client_resources", "init_args", "actor", "debug")
_RESOURCE_KEYS = ("num_cpus", "num_gpus")


def run_simulation(
    server_app: ServerApp,
    client_app: ClientApp,
    num_supernodes: int,
    backend_name: str = "ray",
    backend_config: BackendConfig | None = None,
    enable_tf_gpu_growth: bool = False,
    verbose_logging: bool = False,
) -> None:
    """Run a ServerApp and a ClientApp as a simulation, and return when the ServerApp is done.

    Parameters
    ----------
    server_app : ServerApp
        Runs in the calling thread. What it raises is raised here, unchanged.
    client_app : ClientApp
        Runs in worker processes. It may be defined in ``__main__`` or in a notebook cell. What it
        raises becomes an error reply.
    num_supernodes : int
        How many virtual nodes there are, at least 1. Each has the ``node_config`` entries
        ``partition-id`` and ``num-partitions``.
    backend_name : str, default "ray"
        Accepted for compatibility: ``"ray"`` names the built-in engine here.
    backend_config : dict, optional
        ``client_resources``: ``{"num_cpus": float, "num_gpus": float}``, what one client needs (1
        CPU by default); it decides how many run at once. ``init_args``: ``num_cpus`` and
        ``num_gpus`` that the simulation may use. ``debug``: true runs everything in this process
        and thread, so that breakpoints work in client code.
    enable_tf_gpu_growth : bool, default False
        Let TensorFlow take GPU memory as it needs it.
    verbose_logging : bool, default False
        Log at level DEBUG, with time stamps.

    Raises
    ------
    TypeError
        If an app is not what it should be.
    ValueError
        If an argument has no meaning; names the key.
    """
    _check_apps(server_app, client_app)
    config = _checked(backend_config)
    if backend_name != "ray":
        raise ValueError(f"backend_name must be 'ray' (the built-in engine), not {backend_name!r}.")
    if verbose_logging:
        update_console_handler(level=logging.DEBUG, timestamps=True, colored=None)
    simulate(
        server_app,
        client_app,
        nodes=num_supernodes,
        resources=client_resources(config.get("client_resources")),
        init_args=config.get("init_args"),
        debug=bool(config.get("debug", False)),
        environment=_tf_environment(enable_tf_gpu_growth or bool(_actor(config))),
    )


def client_resources(given: Mapping[str, Any] | None) -> ClientResources:
    """Make the resources of one client from a mapping of ``num_cpus`` and ``num_gpus``.

    Raises
    ------
    ValueError
        If a key is unknown or a value is no such number.
    """
    resources = dict(given or {})
    unknown = sorted(set(resources) - set(_RESOURCE_KEYS))
    if unknown:
        raise ValueError(
            f"client_resources: {unknown[0]!r} is unknown; there are {', '.join(_RESOURCE_KEYS)}."
        )
    if not resources:
        log(logging.INFO, "No `client_resources` given: 1 CPU a client.")
    return ClientResources(**resources)


def _check_apps(server_app: object, client_app: object) -> None:
    for name, app, kind in (
        ("server_app", server_app, ServerApp),
        ("client_app", client_app, ClientApp),
    ):
        if not isinstance(app, kind):
            raise TypeError(f"{name} must be a {kind.__name__}, not {type(app).__name__}.")


def _checked(config: BackendConfig | None) -> BackendConfig:
    given = dict(config or {})
    unknown = sorted(set(given) - set(_KNOWN_KEYS))
    if unknown:
        raise ValueError(
            f"backend_config: {unknown[0]!r} is unknown; there are {', '.join(_KNOWN_KEYS)}."
        )
    for key in ("client_resources", "init_args", "actor"):
        if not isinstance(given.get(key, {}), Mapping):
            raise ValueError(f"backend_config: {key} must be a dict, not {given[key]!r}.")
    return given


def _actor(config: BackendConfig) -> int:
    return int(config.get("actor", {}).get("tensorflow", 0))


def _tf_environment(growth: bool) -> dict[str, str]:
    return {"TF_FORCE_GPU_ALLOW_GROWTH": "true"} if growth else {}
