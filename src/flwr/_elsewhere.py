"""Modules of other implementations that are not here: importing one says what to use instead.

They were never part of the documented API, or moved. The finder at the end of `sys.meta_path` is
asked only about modules that nothing else finds.
"""

import sys
from collections.abc import Callable
from typing import NoReturn

_MESSAGES = "Messages and records travel by themselves: make them with flwr.app."
_PROCESSES = "Start it with the command of the same name, or use flwr.testing in tests."
_NONE = "There is no replacement: it belonged to the inside of another implementation."
_A_GRID = "A grid is given to the ServerApp's main; in tests use flwr.testing."

_INSTEAD = {
    "flwr.agentapp": "Agent apps are not part of it.",
    "flwr.client.clientapp": "Start it with the command flwr-clientapp.",
    "flwr.client.driver": "Use flwr.serverapp.Grid.",
    "flwr.client.grpc_adapter_client": _PROCESSES,
    "flwr.client.grpc_client": _PROCESSES,
    "flwr.client.grpc_rere_client": _PROCESSES,
    "flwr.client.rest_client": _PROCESSES,
    "flwr.client.supernode": "Start it with the command flower-supernode.",
    "flwr.common.address": _NONE,
    "flwr.common.args": _NONE,
    "flwr.common.auth_plugin": _NONE,
    "flwr.common.event_log_plugin": _NONE,
    "flwr.common.exit": "Raise an exception, or call sys.exit.",
    "flwr.common.exit_handlers": "Use the lifespan of a ServerApp or ClientApp, or atexit.",
    "flwr.common.grpc": "GRPC_MAX_MESSAGE_LENGTH is in flwr.common; nothing here uses gRPC.",
    "flwr.common.inflatable": _MESSAGES,
    "flwr.common.object_ref": "Use importlib.import_module and getattr.",
    "flwr.common.pyproject": "Use flwr.common.config.validate_config.",
    "flwr.common.record.typeddict": "Use collections.abc.MutableMapping.",
    "flwr.common.retry_invoker": "Links try again by themselves.",
    "flwr.common.serde": _MESSAGES,
    "flwr.common.serde_utils": _MESSAGES,
    "flwr.compat.common": "Use the modules of flwr.common, as flwr.common.recorddict_compat.",
    "flwr.proto": _MESSAGES,
    "flwr.server.driver.grpc_driver": _A_GRID,
    "flwr.server.driver.inmemory_driver": _A_GRID,
    "flwr.server.fleet_event_log_interceptor": _NONE,
    "flwr.server.serverapp": "Start it with the command flwr-serverapp.",
    "flwr.server.superlink": "Start it with the command flower-superlink.",
    "flwr.simulation.ray_transport": "Simulations need no Ray: use flwr.simulation.run_simulation.",
    "flwr.supercore": _NONE,
    "flwr.superexec": "Start it with the command flower-superexec.",
}


_OUTPUT = "What apps print and log is collected by itself: see the command `flwr log`."
_SUPERLINK = "Start it with the command flower-superlink."

_NAMES_INSTEAD = {
    "flwr.client.app": {
        "start_client_internal": "Start a node with the command flower-supernode.",
    },
    "flwr.common.logger": {
        "CustomHTTPHandler": "Use flwr.common.logger.configure(host=...), or logging.handlers.",
        "configure_superlink_log_file": "Redirect what flower-superlink prints to a file.",
        "flush_logs": _OUTPUT,
        "start_log_uploader": _OUTPUT,
        "stop_log_uploader": _OUTPUT,
    },
    "flwr.server.app": {"run_superlink": _SUPERLINK, "start_grpc_server": _SUPERLINK},
    "flwr.server.driver": {"GrpcDriver": _A_GRID, "InMemoryDriver": _A_GRID},
    "flwr.server.grid": {"GrpcGrid": _A_GRID, "InMemoryGrid": _A_GRID},
}


def names_of(module: str) -> Callable[[str], NoReturn]:
    """Return the ``__getattr__`` of a module, which says what to use instead of a name."""

    def missing(name: str) -> NoReturn:
        instead = _NAMES_INSTEAD[module].get(name)
        if instead is not None:
            raise ImportError(f"cannot import name '{name}' from '{module}'. {instead}")
        raise AttributeError(f"module '{module}' has no attribute '{name}'")

    return missing


class _Elsewhere:
    """Finds nothing, and says what to use instead of a module that is not here."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        wanted = name
        while wanted:
            if wanted in _INSTEAD:
                raise ModuleNotFoundError(f"No module named '{name}'. {_INSTEAD[wanted]}")
            wanted = wanted.rpartition(".")[0]


if not any(finder is _Elsewhere for finder in sys.meta_path):
    sys.meta_path.append(_Elsewhere)
