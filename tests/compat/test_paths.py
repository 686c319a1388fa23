"""The paths by which published apps import and reach names, and what is not here."""

import importlib
import importlib.util
import pkgutil
import subprocess
import sys

import pytest

import flwr.app
import flwr.client.mod
import flwr.clientapp.mod
import flwr.common
import flwr.server.strategy
import flwr.serverapp

# What published apps import, most frequent first (`flwr.app` and the like apart).
IMPORTS = """
flwr.common Context Scalar ndarrays_to_parameters parameters_to_ndarrays NDArrays Parameters FitRes
flwr.common Metrics FitIns log EvaluateRes EvaluateIns ConfigRecord MetricsAggregationFn NDArray
flwr.common Code Message RecordDict ArrayRecord GetParametersRes Status bytes_to_ndarray MessageType
flwr.common ParametersRecord ndarray_to_bytes GetPropertiesIns GetParametersIns Array DisconnectRes
flwr.common array_from_numpy RecordSet MetricsRecord ConfigsRecord
flwr.common.logger log update_console_handler
flwr.common.typing NDArrays Scalar Parameters FitRes Dict Optional Tuple UserConfig GetParametersIns
flwr.common.typing Union List Callable Metrics
flwr.common.config unflatten_dict get_fused_config get_fused_config_from_fab get_flwr_home
flwr.common.typing Fab Actor Event LogEntry UserInfo UserAuthCredentials RunNotRunningException
flwr.common.parameter ndarrays_to_parameters
flwr.common.constant Status SubStatus HEARTBEAT_DEFAULT_INTERVAL HEARTBEAT_PATIENCE
flwr.common.constant SERVERAPPIO_API_DEFAULT_CLIENT_ADDRESS
flwr.common.secure_aggregation.quantization quantize
flwr.client ClientApp NumPyClient Client start_client start_numpy_client
flwr.client.client Client
flwr.client.mod fixedclipping_mod secaggplus_mod LocalDpMod
flwr.client.typing ClientAppCallable Mod
flwr.server ServerAppComponents ServerConfig ServerApp Grid Driver Server LegacyContext
flwr.server SimpleClientManager ClientManager History start_server
flwr.server.app ServerConfig
flwr.server.client_manager SimpleClientManager ClientManager
flwr.server.client_proxy ClientProxy
flwr.server.criterion Criterion
flwr.server.history History
flwr.server.server Server fit_clients evaluate_clients FitResultsAndFailures
flwr.server.strategy FedAvg Strategy FedAvgAndroid DifferentialPrivacyClientSideFixedClipping
flwr.server.strategy.aggregate aggregate weighted_loss_avg aggregate_inplace
flwr.server.strategy.fedavg FedAvg
flwr.server.strategy.strategy Strategy
flwr.server.workflow DefaultWorkflow SecAggPlusWorkflow
flwr.server.workflow.constant MAIN_PARAMS_RECORD
flwr.server.workflow.secure_aggregation.secaggplus_workflow WorkflowState SecAggPlusWorkflow
flwr.serverapp.strategy.strategy_utils log_strategy_start_info
flwr.server.run_serverapp run
flwr.simulation run_simulation start_simulation RAY_IMPORT_ERROR
flwr.simulation.ray_transport.utils enable_tf_gpu_growth
"""

# What apps imported before 1.17, where it lay elsewhere, and what it is now.
BEFORE = """
flwr.simulation.app.start_simulation flwr.simulation.start_simulation
flwr.common.record.parametersrecord.ParametersRecord flwr.common.ParametersRecord
flwr.common.record.parametersrecord.Array flwr.app.Array
flwr.common.record.metricsrecord.MetricsRecord flwr.common.MetricsRecord
flwr.common.record.configsrecord.ConfigsRecord flwr.common.ConfigsRecord
flwr.common.record.recordset.RecordSet flwr.common.RecordSet
flwr.common.ConfigsRecordValues flwr.app.ConfigRecordValues
flwr.common.MetricsRecordValues flwr.app.MetricRecordValues
flwr.common.typing.ConfigsRecordValues flwr.app.ConfigRecordValues
flwr.common.typing.ConfigsScalar flwr.app.ConfigScalar
flwr.common.typing.ConfigsScalarList flwr.app.ConfigScalarList
flwr.common.typing.MetricsRecordValues flwr.app.MetricRecordValues
flwr.common.typing.MetricsScalar flwr.app.MetricScalar
flwr.common.typing.MetricsScalarList flwr.app.MetricScalarList
flwr.common.config.user_config_to_configsrecord flwr.common.config.user_config_to_configrecord
flwr.client.mod.parameters_size_mod flwr.clientapp.mod.arrays_size_mod
flwr.client.mod.comms_mods.parameters_size_mod flwr.clientapp.mod.arrays_size_mod
flwr.server.driver.Driver flwr.serverapp.Grid
flwr.server.driver.driver.Driver flwr.serverapp.Grid
flwr.server.compat.app.start_driver flwr.server.compat.start_driver
"""

# What they reach after `import flwr as fl` alone.
ATTRIBUTES = """
client.NumPyClient client.Client client.ClientApp client.start_numpy_client client.start_client
client.mod.fixedclipping_mod client.client.Client client.numpy_client.NumPyClient
common.ndarrays_to_parameters common.NDArrays common.logger.log common.Code.OK
common.typing.Scalar common.constant.Status common.parameter.ndarrays_to_parameters
common.config.unflatten_dict common.record.ArrayRecord
common.recorddict_compat.fitins_to_recorddict common.date.now
common.recordset_compat.fitins_to_recordset
server.ServerConfig server.strategy.FedAvg server.start_server server.client_proxy.ClientProxy
server.client_manager.SimpleClientManager server.criterion.Criterion server.strategy.Strategy
server.history.History server.server.Server server.server.fit_clients server.LegacyContext
server.workflow.DefaultWorkflow server.strategy.aggregate.aggregate server.strategy.fedavg.FedAvg
server.utils.validate_message server.compat.start_grid
simulation.start_simulation simulation.run_simulation
app.ArrayRecord
clientapp.ClientApp
serverapp.ServerApp
__version__
"""

# Modules that exist elsewhere only, and what their error must name.
ABSENT = {
    "flwr.proto": "flwr.app",
    "flwr.proto.recorddict_pb2": "flwr.app",
    "flwr.common.serde": "flwr.app",
    "flwr.common.grpc": "flwr.common",
    "flwr.common.retry_invoker": "by themselves",
    "flwr.common.inflatable": "flwr.app",
    "flwr.compat.common.recorddict_compat": "flwr.common.recorddict_compat",
    "flwr.client.supernode.app": "flower-supernode",
    "flwr.server.driver.inmemory_driver": "flwr.testing",
    "flwr.server.superlink.linkstate": "flower-superlink",
    "flwr.supercore": "no replacement",
    "flwr.agentapp": "Agent apps",
}

# Names that are missing in modules that are there, and what their error must name.
ABSENT_NAMES = {
    "flwr.client.app.start_client_internal": "flower-supernode",
    "flwr.common.logger.CustomHTTPHandler": r"configure\(host",
    "flwr.common.logger.configure_superlink_log_file": "flower-superlink",
    "flwr.common.logger.flush_logs": "flwr log",
    "flwr.common.logger.start_log_uploader": "flwr log",
    "flwr.common.logger.stop_log_uploader": "flwr log",
    "flwr.server.app.run_superlink": "flower-superlink",
    "flwr.server.app.start_grpc_server": "flower-superlink",
    "flwr.server.driver.GrpcDriver": "main",
    "flwr.server.driver.InMemoryDriver": "flwr.testing",
    "flwr.server.grid.GrpcGrid": "main",
    "flwr.server.grid.InMemoryGrid": "flwr.testing",
}


@pytest.mark.parametrize("line", IMPORTS.strip().splitlines())
def test_what_published_apps_import_is_there(line: str) -> None:
    module, *names = line.split()
    found = importlib.import_module(module)
    assert [name for name in names if not hasattr(found, name)] == []


def test_what_apps_reach_after_one_plain_import_is_there() -> None:
    lines = [f"fl.{path}" for path in ATTRIBUTES.split()]
    subprocess.run([sys.executable, "-c", "\n".join(["import flwr as fl", *lines])], check=True)


@pytest.mark.parametrize("line", BEFORE.strip().splitlines())
def test_what_was_imported_before_is_the_same_object(line: str) -> None:
    before, now = map(pkgutil.resolve_name, line.split())
    assert before is now


def test_conversions_have_the_names_of_before() -> None:
    before = importlib.import_module("flwr.common.recordset_compat")
    conversions = importlib.import_module("flwr.common.recorddict_compat")
    for name in conversions.__all__:
        old = name.replace("recorddict", "recordset").replace("arrayrecord", "parametersrecord")
        if name != "EMPTY_TENSOR_KEY":
            assert getattr(before, old) is getattr(conversions, name)


def test_old_names_are_the_same_objects() -> None:
    common, server, serverapp = flwr.common, flwr.server, flwr.serverapp
    for name in ("Array", "ArrayRecord", "RecordDict", "Message", "Context", "ConfigRecord"):
        assert getattr(common, name) is getattr(flwr.app, name)
    assert flwr.client.ClientApp is flwr.clientapp.ClientApp
    assert (server.ServerApp, server.Grid) == (serverapp.ServerApp, serverapp.Grid)
    for name in ("arrays_size_mod", "message_size_mod", "make_ffn"):
        assert getattr(flwr.client.mod, name) is getattr(flwr.clientapp.mod, name)
    for name in ("fixedclipping_mod", "adaptiveclipping_mod", "LocalDpMod"):
        assert getattr(flwr.client.mod, name) is not getattr(flwr.clientapp.mod, name)
    assert server.strategy.FedAvg is not flwr.serverapp.strategy.FedAvg


@pytest.mark.parametrize(("module", "named"), ABSENT.items())
@pytest.mark.parametrize("form", ["import", "from"])
def test_what_is_not_here_says_what_to_use(module: str, named: str, form: str) -> None:
    package, _, name = module.rpartition(".")
    statement = f"import {module}" if form == "import" else f"from {package} import {name}"
    with pytest.raises(ImportError, match=rf"No module named 'flwr\..*{named}"):
        exec(statement, {})


@pytest.mark.parametrize(("path", "named"), ABSENT_NAMES.items())
def test_names_that_are_not_here_say_what_to_use(path: str, named: str) -> None:
    module, _, name = path.rpartition(".")
    with pytest.raises(ImportError, match=rf"cannot import name '{name}' from '{module}'.*{named}"):
        exec(f"from {module} import {name}", {})


def test_these_are_all_the_names_that_are_listed_as_not_here() -> None:
    listed = flwr._elsewhere._NAMES_INSTEAD
    assert {f"{m}.{name}" for m, names in listed.items() for name in names} == set(ABSENT_NAMES)
    assert not hasattr(flwr.common.logger, "nothing")


def test_other_modules_that_do_not_exist_are_missed_as_everywhere() -> None:
    assert importlib.util.find_spec("flwr.nothing") is None
    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'flwr\.nothing'$"):
        importlib.import_module("flwr.nothing")
    with pytest.raises(ImportError, match="cannot import name 'nothing' from 'flwr'"):
        exec("from flwr import nothing", {})
