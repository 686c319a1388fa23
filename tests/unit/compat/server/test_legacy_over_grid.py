"""The legacy loop over a grid: one batch a phase, failures, events, checkpoints, workflows."""

import logging
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from counting import EVALUATE, TRAIN, Counting, DirectClient, GridHere, SavingGrid

from flwr.app import ArrayRecord, ConfigRecord, Context, RecordDict
from flwr.app.events import Aggregated, RoundFinished, RoundStarted, ServerEvaluated
from flwr.client import ClientApp
from flwr.common import (
    Code,
    EvaluateIns,
    FitIns,
    GetParametersIns,
    GetPropertiesIns,
    ReconnectIns,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
)
from flwr.compat.clients.grid_clients import GridClientManager, GridClientProxy
from flwr.server import (
    LegacyContext,
    ServerApp,
    ServerAppComponents,
    ServerConfig,
    SimpleClientManager,
    run_serverapp,
)
from flwr.server.compat import start_driver, start_grid
from flwr.server.server import fit_clients
from flwr.server.strategy import FedAdam, FedAvg
from flwr.server.workflow import DefaultWorkflow, SecAggPlusWorkflow, SecAggWorkflow
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD, Key

MODEL = [np.zeros(2, np.float32)]


def strategy(**others: Any) -> FedAvg:
    return FedAvg(initial_parameters=ndarrays_to_parameters(MODEL), **others)


def context() -> Context:
    return Context(1, 0, {}, RecordDict(), {})


def test_each_phase_is_one_batch() -> None:
    grid = GridHere(range(1, 6))
    history = start_grid(grid=grid, strategy=strategy(), config=ServerConfig(num_rounds=2))
    assert history.losses_distributed == [(1, 1.0), (2, 2.0)]
    assert grid.calls == [5, 5, 5, 5]
    kinds = [message.metadata.message_type for message in grid.messages[::5]]
    assert kinds == [TRAIN, EVALUATE] * 2
    assert [message.metadata.group_id for message in grid.messages[::10]] == ["1", "2"]
    contents = [message.content["fitins.parameters"] for message in grid.messages[:5]]
    assert all(content is contents[0] for content in contents)  # sent once
    assert grid.messages[0].metadata.ttl == 43200


def test_the_loop_by_its_name_before_1_17() -> None:
    history = start_driver(driver=GridHere([1, 2]), strategy=strategy(), config=ServerConfig(2))
    assert history.losses_distributed == [(1, 1.0), (2, 2.0)]


def test_the_first_lines_of_a_run(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "flwr")
    start_grid(grid=GridHere([1, 2]), strategy=strategy(), config=ServerConfig(1, 9.0))
    lines = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert lines[:3] == [
        "Starting Flower ServerApp, config: num_rounds=1, round_timeout=9.0s",
        "",
        "[INIT]",
    ]


def test_a_timeout_is_the_time_to_live_of_messages() -> None:
    grid = GridHere([1, 2])
    start_grid(grid=grid, strategy=strategy(), config=ServerConfig(1, 9.0))
    assert {message.metadata.ttl for message in grid.messages} == {9.0}


def test_initial_parameters_come_from_one_node() -> None:
    grid = GridHere([1, 2])
    start_grid(grid=grid)
    assert grid.calls[0] == 1
    metadata = grid.messages[0].metadata
    assert (metadata.message_type, metadata.group_id) == ("get_parameters", "")


def test_errors_and_missing_replies_are_failures() -> None:
    grid = GridHere([1, 2, 3])
    grid.broken = {2: "ValueError: broken", 3: None}
    seen: list[Any] = []

    class Watching(FedAvg):
        def aggregate_fit(self, server_round: int, results: Any, failures: Any) -> Any:
            seen.extend(failures)
            return super().aggregate_fit(server_round, results, failures)

    given = ndarrays_to_parameters(MODEL)
    start_grid(grid=grid, strategy=Watching(initial_parameters=given), config=ServerConfig(1, 5.0))
    broken, late = sorted(seen, key=str)  # Message …, Node …
    assert isinstance(broken, ValueError)
    assert "Message contains an Error (reason: ValueError: broken)" in str(broken)
    assert isinstance(late, TimeoutError)
    assert str(late) == "Node 3 did not reply within 5.0 s."


@pytest.mark.parametrize("key", ["lr", 1])
@pytest.mark.parametrize("phase", ["fit", "evaluate"])
def test_instructions_that_cannot_be_sent_name_the_method_and_the_key(phase: str, key: Any) -> None:
    config: Any = {f"on_{phase}_config_fn": lambda server_round: {key: None}}
    with pytest.raises(TypeError) as caught:
        start_grid(grid=GridHere([1, 2]), strategy=strategy(**config))
    assert repr(key) in str(caught.value)
    assert caught.value.__notes__ == [
        f"It is in '{phase}ins.config'.",
        f"The instructions are those of `FedAvg.configure_{phase}`.",
    ]


def test_the_manager_of_a_grid_has_all_nodes_as_clients() -> None:
    manager = GridClientManager(GridHere([1, 2, 3]))
    assert list(manager.clients) == ["1", "2", "3"]
    manager.clients["2"].properties["fast"] = True
    assert manager.all()["2"].properties == {"fast": True}
    manager.sample(1)
    assert list(manager.clients) == ["1", "2", "3"]


def test_a_client_that_is_unregistered_is_drawn_no_more() -> None:
    grid = GridHere([1, 2, 3])
    manager = GridClientManager(grid)
    second = manager.all()["2"]
    for client in [second, second, DirectClient("unknown")]:
        manager.unregister(client)
    assert (manager.num_available(), list(manager.all())) == (2, ["1", "3"])
    assert {client.cid for client in manager.sample(2)} == {"1", "3"}
    assert manager.sample(3, min_num_clients=2) == []
    assert manager.register(second)
    assert not manager.register(second)
    assert manager.num_available() == 3

    manager.unregister(second)
    grid.nodes = [1, 3]
    assert manager.num_available() == 2
    grid.nodes = [1, 2, 3]
    assert manager.num_available() == 3, "who comes back is a new client"


def test_a_wait_does_not_count_clients_that_are_unregistered() -> None:
    class Waiting(GridHere):
        waited: list[int] = []  # noqa: RUF012

        def wait_nodes(self, count: int) -> None:
            self.waited.append(count)
            self.nodes.append(count)

    manager = GridClientManager(Waiting([1, 2]))
    manager.unregister(manager.all()["2"])
    assert manager.wait_for(2)
    assert Waiting.waited == [3]
    assert list(manager.all()) == ["1", "3"]


def test_what_one_node_can_be_asked() -> None:
    grid = GridHere([4])
    client = GridClientProxy(4, grid)
    parameters = client.get_parameters(GetParametersIns({}), None, 0).parameters
    assert parameters_to_ndarrays(parameters)[0].tolist() == [0.0, 0.0]
    trained = client.fit(FitIns(parameters, {}), None, 1)
    assert (trained.num_examples, trained.metrics) == (1, {"seen": 1})
    assert client.evaluate(EvaluateIns(trained.parameters, {}), None, 1).loss == 1.0
    properties = client.get_properties(GetPropertiesIns({}), None, 0)
    assert properties.status.code == Code.GET_PROPERTIES_NOT_IMPLEMENTED
    assert client.reconnect(ReconnectIns(None), None, None).reason == ""
    assert grid.calls == [1, 1, 1, 1]
    grid.broken = {4: "RuntimeError: away"}
    with pytest.raises(ValueError, match="RuntimeError: away"):
        client.fit(FitIns(parameters, {}), None, 1)
    grid.broken = {4: None}
    with pytest.raises(TimeoutError, match="Node 4 did not reply"):
        client.fit(FitIns(parameters, {}), None, 1)


def test_nodes_and_clients_of_ones_own_can_be_asked_together() -> None:
    grid = GridHere([1, 2])
    ins = FitIns(ndarrays_to_parameters(MODEL), {})
    clients = [GridClientProxy(1, grid), DirectClient("own"), GridClientProxy(2, grid)]
    results, failures = fit_clients([(client, ins) for client in clients], None, None, 1)
    assert ([client for client, _ in results], failures) == (clients, [])


def test_a_client_manager_of_ones_own_knows_the_nodes() -> None:
    class Own(SimpleClientManager):
        drawn = 0

        def sample(self, *args: Any, **kwargs: Any) -> Any:
            self.drawn += 1
            return super().sample(*args, **kwargs)

    manager = Own()
    start_grid(grid=GridHere([1, 2]), strategy=strategy(), client_manager=manager)
    assert manager.drawn == 2
    assert list(manager.clients) == ["1", "2"]


def test_events_of_a_run() -> None:
    grid = GridHere([1, 2])
    start_grid(
        grid=grid, strategy=strategy(evaluate_fn=lambda *_: (np.float32(0.5), {"name": "a"}))
    )
    kinds = [type(event) for event in grid.events]
    assert kinds == [
        ServerEvaluated,
        RoundStarted,
        Aggregated,
        ServerEvaluated,
        Aggregated,
        RoundFinished,
    ]
    assert grid.events[0] == ServerEvaluated(0, {"loss": 0.5})
    trained, measured = (event for event in grid.events if isinstance(event, Aggregated))
    assert (trained.phase, trained.replies, trained.failures) == ("train", 2, 0)
    assert sorted((node.node_id, node.metrics["seen"]) for node in trained.nodes) == [
        (1, 1),
        (2, 1),
    ]
    assert measured.metrics == {"loss": 1.0}


@pytest.mark.parametrize("name", ["norm_bit", "dpfedavg_norm_bit"])
def test_events_do_not_tell_whose_update_was_clipped(name: str) -> None:
    class Clipped(Counting):
        def fit(self, parameters: Any, config: Any) -> Any:
            return parameters, 1, {name: 1, "seen": 1}

    grid = GridHere([1, 2], ClientApp(client_fn=lambda context: Clipped().to_client()))
    start_grid(grid=grid, strategy=strategy(fit_metrics_aggregation_fn=lambda pairs: pairs[0][1]))
    trained = next(event for event in grid.events if isinstance(event, Aggregated))
    assert [node.metrics for node in trained.nodes] == [{"seen": 1}] * 2
    assert trained.metrics == {"seen": 1}


def test_components_of_a_server_fn() -> None:
    grid = GridHere([1, 2])

    def make(_: Context) -> ServerAppComponents:
        return ServerAppComponents(strategy=strategy(), config=ServerConfig(num_rounds=3))

    ServerApp(server_fn=make)(grid, context())
    assert sum(isinstance(event, RoundFinished) for event in grid.events) == 3
    with pytest.raises(TypeError, match="server_fn must return ServerAppComponents, not dict"):
        ServerApp(server_fn=cast("Any", lambda _: {}))(grid, context())


def test_a_serverapp_is_run_by_name_or_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "own_server.py").write_text(
        "from flwr.server import ServerApp\n"
        "app = ServerApp()\n"
        "@app.main()\n"
        "def main(grid, context):\n"
        "    context.run_config['seen'] = len(grid.get_node_ids())\n"
    )
    grid, given = GridHere([1, 2]), context()
    assert run_serverapp.run(grid, given, str(tmp_path), "own_server:app") is given
    assert given.run_config == {"seen": 2}
    app = ServerApp()
    app.main()(lambda grid, context: None)
    run_serverapp.run(grid, given, "", loaded_server_app=app)
    with pytest.raises(ValueError, match="either `server_app_attr` or `loaded_server_app`"):
        run_serverapp.run(grid, given, "")


class Stopped(BaseException):
    """The process was killed."""


def run_loop(grid: SavingGrid, strategy: Any) -> Any:
    return start_grid(grid=grid, strategy=strategy, config=ServerConfig(num_rounds=3))


def run_workflow(grid: SavingGrid, strategy: Any) -> Any:
    legacy = LegacyContext(context(), ServerConfig(num_rounds=3), strategy)
    DefaultWorkflow()(grid, legacy)
    return legacy.history


@pytest.mark.parametrize("kill_at", range(1, 7))  # at the start, after trainings, after rounds
@pytest.mark.parametrize(
    ("kind", "run"), [(FedAvg, run_loop), (FedAdam, run_loop), (FedAdam, run_workflow)]
)
def test_a_run_goes_on_from_its_checkpoint(kind: Any, run: Any, kill_at: int) -> None:
    def make() -> Any:
        return kind(initial_parameters=ndarrays_to_parameters(MODEL), evaluate_fn=measure)

    models: list[Any] = []

    def measure(number: int, arrays: Any, config: Any) -> Any:
        models.append((number, arrays[0].tolist()))
        return float(arrays[0][0]), {"number": number}

    whole = SavingGrid([1, 2])
    expected = run(whole, make())
    rounds, models[:] = dict(models), []

    def kill(number: int) -> None:
        if number == kill_at:
            raise Stopped

    broken = SavingGrid([1, 2])
    broken.on_checkpoint = kill
    with pytest.raises(Stopped):
        run(broken, make())
    again = SavingGrid([1, 2], broken.saved)
    found = run(again, make())
    assert vars(found) == vars(expected)
    assert dict(models) == rounds
    assert len(models) == 4  # nothing was measured twice
    assert len(broken.calls) + len(again.calls) == len(whole.calls)
    assert broken.open == again.open == 0


def test_what_cannot_be_saved_costs_checkpoints_only(caplog: pytest.LogCaptureFixture) -> None:
    class Odd(FedAvg):
        def aggregate_evaluate(self, *args: Any) -> Any:
            return super().aggregate_evaluate(*args)[0], {"odd": object()}

    grid = SavingGrid([1, 2])
    given = ndarrays_to_parameters(MODEL)
    history = start_grid(
        grid=grid, strategy=Odd(initial_parameters=given), config=ServerConfig(num_rounds=3)
    )
    assert len(history.losses_distributed) == 3
    assert len(grid.saved) == 2  # before round 1, and after its training
    assert caplog.text.count("No checkpoint in round 1, nor in later ones") == 1
    assert "'history.metrics_distributed.odd.0.1' is a object" in caplog.text
    assert grid.open == 0


def test_a_state_dict_of_the_apps_own_is_let_alone() -> None:
    class Own(FedAvg):
        def state_dict(self, prefix: str) -> dict[str, object]:
            raise AssertionError

    grid = SavingGrid([1, 2])
    made = Own(initial_parameters=ndarrays_to_parameters(MODEL))
    start_grid(grid=grid, strategy=made)
    again = start_grid(grid=SavingGrid([1, 2], grid.saved[:2]), strategy=made)
    assert again.losses_distributed == [(1, 1.0)]


def test_a_default_workflow(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "flwr")
    legacy = LegacyContext(context(), ServerConfig(num_rounds=2), strategy())
    DefaultWorkflow()(GridHere([1, 2]), legacy)
    assert legacy.history.losses_distributed == [(1, 1.0), (2, 2.0)]
    model = legacy.state[MAIN_PARAMS_RECORD]
    assert isinstance(model, ArrayRecord)
    assert (list(model), model["0"].numpy().tolist()) == (["0"], [2.0, 2.0])
    settings = legacy.state[MAIN_CONFIGS_RECORD]
    assert isinstance(settings, ConfigRecord)
    assert settings[Key.CURRENT_ROUND] == 2
    assert "History (loss, distributed):" in [record.getMessage() for record in caplog.records]


def test_halves_of_a_workflow_can_be_replaced() -> None:
    rounds = []

    def fit(grid: Any, legacy: Any) -> None:
        rounds.append(legacy.state["config"]["current_round"])
        legacy.state["parameters"] = ArrayRecord([np.full(2, 9.0)])

    legacy = LegacyContext(context(), ServerConfig(num_rounds=2), strategy())
    DefaultWorkflow(fit_workflow=fit)(GridHere([1, 2]), legacy)
    assert rounds == [1, 2]
    assert legacy.history.losses_distributed == [(1, 9.0), (2, 9.0)]


def test_parts_of_a_legacy_context() -> None:
    plain = context()
    legacy = LegacyContext(plain)
    assert isinstance(legacy, Context)
    assert legacy.state is plain.state
    assert (legacy.config, type(legacy.strategy)) == (ServerConfig(), FedAvg)
    assert isinstance(legacy.client_manager, SimpleClientManager)
    with pytest.raises(TypeError, match="Expect a LegacyContext, but get Context"):
        DefaultWorkflow()(GridHere([1, 2]), plain)


@pytest.mark.parametrize("workflow", [SecAggPlusWorkflow, SecAggWorkflow])
def test_secure_aggregation_says_that_it_comes_later(workflow: Any) -> None:
    with pytest.raises(NotImplementedError, match=f"{workflow.__name__}: .*later"):
        workflow(3, 2)
