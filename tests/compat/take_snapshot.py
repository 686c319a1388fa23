"""Write down the public surface of an installed upstream Flower, asked from outside.

Run by hand with the Python of an environment that holds upstream, never in the tests:

    UPSTREAM_PYTHON tests/compat/take_snapshot.py > tests/compat/upstream-1.41.json

and likewise for 1.18. Modules and names that the installed version does not have are left out.

Only `dir` and `inspect.signature` are used. Each name is described by what a caller can rely on:
the signature without annotations, with `...` for a default that is an object, and the members.
"""

import importlib
import inspect
import json
from types import ModuleType
from typing import Any

STRATEGIES = [
    *["bulyan", "dp_adaptive_clipping", "dp_fixed_clipping", "dpfedavg_adaptive"],
    *["dpfedavg_fixed", "fault_tolerant_fedavg", "fedadagrad", "fedadam", "fedavg"],
    *["fedavg_android", "fedavgm", "fedmedian", "fedopt", "fedprox", "fedtrimmedavg"],
    *["fedxgb_bagging", "fedxgb_cyclic", "fedxgb_nn_avg", "fedyogi", "krum", "qfedavg", "strategy"],
]
OWN = ["*"]  # the classes and functions that a module itself defines
CLASSES = ["class *"]  # the classes that a module itself defines
NAMES: dict[str, list[str] | None] = {  # None: what the module's __all__ says
    "flwr": ["app", "clientapp", "serverapp", "client", "common", "server", "simulation"],
    "flwr.app": None,
    "flwr.client": None,
    "flwr.client.app": ["start_client", "start_numpy_client"],
    "flwr.client.client": OWN,
    "flwr.client.client_app": ["ClientApp"],
    "flwr.client.dpfedavg_numpy_client": OWN,
    "flwr.client.message_handler.message_handler": [
        "handle_control_message",
        "handle_legacy_message_from_msgtype",
    ],
    "flwr.client.mod": None,
    "flwr.client.mod.centraldp_mods": OWN,
    "flwr.client.mod.comms_mods": OWN,
    "flwr.client.mod.localdp_mod": OWN,
    "flwr.client.mod.secure_aggregation": None,
    "flwr.client.mod.utils": OWN,
    "flwr.client.numpy_client": OWN,
    "flwr.client.typing": ["ClientAppCallable", "ClientFn", "ClientFnExt", "Mod"],
    "flwr.clientapp": None,
    "flwr.clientapp.mod": None,
    "flwr.clientapp.typing": ["ClientAppCallable", "Mod"],
    "flwr.common": None,
    "flwr.common.config": [
        "flatten_dict",
        "fuse_dicts",
        "get_fab_config",
        "get_flwr_dir",
        "get_flwr_home",
        "get_fused_config",
        "get_fused_config_from_dir",
        "get_fused_config_from_fab",
        "get_metadata_from_config",
        "get_project_config",
        "get_project_dir",
        "parse_config_args",
        "unflatten_dict",
        "user_config_to_configrecord",
        "validate_config",
        "validate_fields_in_config",
    ],
    "flwr.common.constant": [
        *["APP_DIR", "FAB_CONFIG_FILE", "FLWR_DIR", "FLWR_HOME", "GC_THRESHOLD"],
        *["MAX_RETRY_DELAY", "MESSAGE_TTL_TOLERANCE", "NODE_ID_NUM_BYTES", "NUM_PARTITIONS_KEY"],
        *["PARTITION_ID_KEY", "RUN_ID_NUM_BYTES", "SUPERLINK_NODE_ID", "SYSTEM_TIME_TOLERANCE"],
        *["TIMESTAMP_TOLERANCE", "ISOLATION_MODE_PROCESS", "ISOLATION_MODE_SUBPROCESS"],
        *["CLIENTAPPIO_PORT", "CONTROL_API_PORT", "EXEC_API_PORT", "FLEETAPI_GRPC_RERE_PORT"],
        *["FLEETAPI_PORT", "SERVERAPPIO_PORT", "SIMULATIONIO_PORT"],
        *["CLIENTAPPIO_API_DEFAULT_CLIENT_ADDRESS", "CLIENTAPPIO_API_DEFAULT_SERVER_ADDRESS"],
        *["CONTROL_API_DEFAULT_SERVER_ADDRESS", "EXEC_API_DEFAULT_SERVER_ADDRESS"],
        *["FLEET_API_GRPC_BIDI_DEFAULT_ADDRESS", "FLEET_API_GRPC_RERE_DEFAULT_ADDRESS"],
        *["FLEET_API_REST_DEFAULT_ADDRESS"],
        *["SERVERAPPIO_API_DEFAULT_CLIENT_ADDRESS", "SERVERAPPIO_API_DEFAULT_SERVER_ADDRESS"],
        *["SIMULATIONIO_API_DEFAULT_CLIENT_ADDRESS", "SIMULATIONIO_API_DEFAULT_SERVER_ADDRESS"],
        *["TRANSPORT_TYPE_GRPC_ADAPTER", "TRANSPORT_TYPE_GRPC_BIDI", "TRANSPORT_TYPE_GRPC_RERE"],
        *["TRANSPORT_TYPE_REST", "TRANSPORT_TYPE_VCE"],
        *["HEARTBEAT_BASE_MULTIPLIER", "HEARTBEAT_CALL_TIMEOUT", "HEARTBEAT_DEFAULT_INTERVAL"],
        *["HEARTBEAT_INTERVAL_INF", "HEARTBEAT_PATIENCE", "PING_BASE_MULTIPLIER"],
        *["PING_CALL_TIMEOUT", "PING_DEFAULT_INTERVAL", "PING_MAX_INTERVAL", "PING_PATIENCE"],
        *["CliOutputFormat", "ErrorCode", "MessageType", "MessageTypeLegacy", "SType"],
        *["Status", "SubStatus"],
    ],
    "flwr.common.context": ["Context"],
    "flwr.common.date": OWN,
    "flwr.common.differential_privacy": OWN,
    "flwr.common.differential_privacy_constants": [
        "CLIENTS_DISCREPANCY_WARNING",
        "KEY_CLIPPING_NORM",
        "KEY_NORM_BIT",
    ],
    "flwr.common.dp": OWN,
    "flwr.common.logger": [
        "ConsoleHandler",
        "FLOWER_LOGGER",
        "LOGGER_NAME",
        "configure",
        "console_handler",
        "log",
        "mirror_output_to_queue",
        "print_json_error",
        "redirect_output",
        "restore_output",
        "set_logger_propagation",
        "update_console_handler",
        "warn_deprecated_feature",
        "warn_deprecated_feature_with_example",
        "warn_preview_feature",
        "warn_unsupported_feature",
    ],
    "flwr.common.message": [
        "DEFAULT_TTL",
        "Error",
        "MESSAGE_TTL_TOLERANCE",
        "Message",
        "MessageInitializationError",
        "Metadata",
    ],
    "flwr.common.parameter": OWN,
    "flwr.common.record": None,
    "flwr.common.record.arrayrecord": OWN,
    "flwr.common.record.configrecord": OWN,
    "flwr.common.record.conversion_utils": OWN,
    "flwr.common.record.metricrecord": OWN,
    "flwr.common.record.recorddict": OWN,
    "flwr.common.recorddict_compat": OWN,
    "flwr.common.secure_aggregation.crypto.shamir": OWN,
    "flwr.common.secure_aggregation.crypto.symmetric_encryption": OWN,
    "flwr.common.secure_aggregation.ndarrays_arithmetic": OWN,
    "flwr.common.secure_aggregation.quantization": OWN,
    "flwr.common.secure_aggregation.secaggplus_constants": [
        "Key",
        "RECORD_KEY_CONFIGS",
        "RECORD_KEY_STATE",
        "Stage",
    ],
    "flwr.common.secure_aggregation.secaggplus_utils": OWN,
    "flwr.common.telemetry": ["EventType", "event"],
    "flwr.common.typing": [
        *["ClientMessage", "Code", "Config", "DisconnectRes", "EvaluateIns", "EvaluateRes"],
        *["FitIns", "FitRes", "GetParametersIns", "GetParametersRes", "GetPropertiesIns"],
        *["GetPropertiesRes", "Metrics", "MetricsAggregationFn", "NDArray", "NDArrayFloat"],
        *["NDArrayInt", "NDArrays", "Parameters", "Properties", "ReconnectIns", "Scalar"],
        *["ServerMessage", "Status", "Value", "UserConfig", "UserConfigValue", "ConfigScalar"],
        *["ConfigScalarList", "ConfigRecordValues", "MetricScalar", "MetricScalarList"],
        *["MetricRecordValues", "Run", "RunStatus", "Any", "Callable", "Optional", "Union"],
        *["dataclass", "Enum", "np", "npt", "Actor", "ClientAppOutputCode"],
        *["ClientAppOutputStatus", "Event", "Fab", "InvalidRunStatusException", "LogEntry"],
        *["RunNotRunningException", "UserAuthCredentials", "UserAuthLoginDetails", "UserInfo"],
    ],
    "flwr.common.version": ["package_name"],
    "flwr.server": None,
    "flwr.server.app": ["ServerConfig", "start_server"],
    "flwr.server.client_manager": OWN,
    "flwr.server.client_proxy": OWN,
    "flwr.server.compat": None,
    "flwr.server.criterion": OWN,
    "flwr.server.grid": ["Driver", "Grid"],
    "flwr.server.history": OWN,
    "flwr.server.run_serverapp": OWN,
    "flwr.server.server": [
        *["EvaluateResultsAndFailures", "FitResultsAndFailures", "ReconnectResultsAndFailures"],
        *["Server", "evaluate_client", "evaluate_clients", "fit_client", "fit_clients"],
        *["init_defaults", "reconnect_client", "reconnect_clients", "run_fl"],
    ],
    "flwr.server.server_app": ["ServerApp"],
    "flwr.server.server_config": OWN,
    "flwr.server.serverapp_components": OWN,
    "flwr.server.strategy": None,
    "flwr.server.strategy.aggregate": OWN,
    **{f"flwr.server.strategy.{name}": CLASSES for name in STRATEGIES},
    "flwr.server.typing": ["ServerAppCallable", "ServerFn", "Workflow"],
    "flwr.server.utils": None,
    "flwr.server.utils.tensorboard": OWN,
    "flwr.server.workflow": None,
    "flwr.server.workflow.constant": ["Key", "MAIN_CONFIGS_RECORD", "MAIN_PARAMS_RECORD"],
    "flwr.server.workflow.default_workflows": OWN,
    "flwr.server.workflow.secure_aggregation.secagg_workflow": OWN,
    "flwr.server.workflow.secure_aggregation.secaggplus_workflow": OWN,
    "flwr.serverapp": None,
    "flwr.serverapp.exception": [
        "AggregationError",
        "InconsistentMessageReplies",
        "PrivacyBudgetExhausted",
    ],
    "flwr.serverapp.strategy": None,
    "flwr.simulation": None,
}
# How upstream moves objects over its own wire: visible on its classes, but not documented API.
WIRE = {"children", "deflate", "inflate", "is_dirty", "object_id", "slice_array"}
PLAIN = (bool, int, float, str, type(None))


def signature(thing: Any) -> str | None:
    """Return the signature without annotations, `...` standing for defaults that are objects."""
    try:
        parameters = inspect.signature(thing).parameters.values()
    except (TypeError, ValueError):
        return None
    bare = [
        parameter.replace(
            annotation=parameter.empty,
            default=parameter.default
            if parameter.default is parameter.empty or isinstance(parameter.default, PLAIN)
            else ...,
        )
        for parameter in parameters
    ]
    return str(inspect.Signature(bare)).replace("Ellipsis", "...")


def member(cls: type, name: str) -> Any:
    """Describe one attribute of a class: `property`, a signature, or a plain value."""
    raw = inspect.getattr_static(cls, name)
    if isinstance(raw, property):
        return "property"
    if callable(raw) or isinstance(raw, classmethod | staticmethod):
        return signature(getattr(cls, name))
    return raw if isinstance(raw, PLAIN) else "value"


def describe(thing: Any) -> dict[str, Any]:
    """Describe one public name."""
    if inspect.ismodule(thing):
        return {"kind": "module"}
    if inspect.isclass(thing):
        inherited = set(dir(str)) | set(dir(Exception))
        names = [n for n in dir(thing) if n[0] != "_" and n not in WIRE | inherited]
        return {
            "kind": "class",
            "signature": signature(thing),
            "abstract": sorted(getattr(thing, "__abstractmethods__", [])),
            "members": {name: member(thing, name) for name in names},
        }
    if inspect.isfunction(thing):
        return {"kind": "function", "signature": signature(thing)}
    return {"kind": "value", "value": thing} if isinstance(thing, PLAIN) else {"kind": "alias"}


def names_of(module: ModuleType, names: list[str] | None) -> list[str]:
    """Return which names of a module are asked for and are there."""
    if names is None:
        return sorted(module.__all__)
    if names in (OWN, CLASSES):
        things = {name: thing for name, thing in vars(module).items() if name[0] != "_"}
        return sorted(
            name
            for name, thing in things.items()
            if inspect.isclass(thing) or (names is OWN and inspect.isfunction(thing))
            if thing.__module__ == module.__name__
        )
    return sorted(name for name in names if hasattr(module, name))


def surface() -> dict[str, dict[str, Any]]:
    """Describe all public names of the modules above."""
    described = {}
    for path, names in NAMES.items():
        try:
            module = importlib.import_module(path)
        except ModuleNotFoundError:
            continue
        found = names_of(module, names)
        described[path] = {name: describe(getattr(module, name)) for name in found}
    return described


if __name__ == "__main__":
    print(json.dumps(surface(), indent=1))  # noqa: T201 (a script)
