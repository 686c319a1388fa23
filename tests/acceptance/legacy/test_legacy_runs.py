"""A legacy app with a strategy of its own, unchanged in a simulation and with real nodes."""

import contextlib
from pathlib import Path

import pytest
from deployed import Deployment, gate, wait_until

PROJECT = """
[project]
name = "legacy"
version = "1.0.0"

[tool.flwr.app]
publisher = "tester"

[tool.flwr.app.components]
serverapp = "legacy.server_app:app"
clientapp = "legacy.client_app:app"

[tool.flwr.app.config]
num-server-rounds = 3
wait-at = ""

[tool.flwr.federations]
default = "here"

[tool.flwr.federations.here]
options.num-supernodes = 2
"""

SERVER = """
import numpy as np
from flwr.common import Context, FitIns, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg

class Own(FedAvg):
    def __init__(self, wait_at, **others):
        super().__init__(**others)
        self.wait_at = wait_at
        self.results = []

    def configure_fit(self, server_round, parameters, client_manager):
        config = {"round": server_round, "wait-at": self.wait_at if server_round == 2 else ""}
        clients = client_manager.sample(num_clients=2, min_num_clients=2)
        return [(client, FitIns(parameters, config)) for client in clients]

    def aggregate_fit(self, server_round, results, failures):
        self.results.append(results)
        client, result = self.results[-1][0]
        assert client.cid == str(client.node_id)
        arrays = [parameters_to_ndarrays(result.parameters) for _, result in self.results[-1]]
        examples = sorted(result.num_examples for _, result in results)
        print("round", server_round, "examples", examples, "failures", failures)
        _, metrics = super().aggregate_fit(server_round, results, failures)
        return ndarrays_to_parameters([sum(each) / 2 for each in zip(*arrays)]), metrics

    def aggregate_evaluate(self, server_round, results, failures):
        loss, metrics = super().aggregate_evaluate(server_round, results, failures)
        print("evaluated", server_round, sorted(result.loss for _, result in results), loss)
        return loss, {**metrics, "rounds": len(self.results)}

def make(context: Context):
    config = ServerConfig(num_rounds=context.run_config["num-server-rounds"])
    initial = ndarrays_to_parameters([np.zeros(4, np.float32)])
    strategy = Own(context.run_config["wait-at"], initial_parameters=initial)
    return ServerAppComponents(strategy=strategy, config=config)

app = ServerApp(server_fn=make)
"""

CLIENT = """
from flwr.client import ClientApp, NumPyClient
from flwr.common import Context

class Counting(NumPyClient):
    def __init__(self, number):
        self.number = number

    def wait(self, config):
        if config.get("wait-at"):
            try:
                open(config["wait-at"]).read()
            except FileNotFoundError:
                pass  # it is open

    def fit(self, parameters, config):
        print("training for", config["round"], flush=True)
        self.wait(config)
        arrays = [array + self.number + config["round"] for array in parameters]
        return arrays, 10 * (self.number + 1), {"number": self.number}

    def evaluate(self, parameters, config):
        print("evaluating for", config.get("round"), flush=True)
        self.wait(config)
        return float(parameters[0].sum()) + self.number, 5, {}

def client_fn(context: Context):
    return Counting(context.node_config["partition-id"]).to_client()

app = ClientApp(client_fn=client_fn)
"""

WORKFLOW = """
import os
import numpy as np
from flwr.common import MetricRecord, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server import LegacyContext, ServerApp, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.server.workflow import DefaultWorkflow
from flwr.server.workflow.default_workflows import default_fit_workflow

class Noisy(FedAvg):
    def aggregate_fit(self, server_round, results, failures):
        parameters, metrics = super().aggregate_fit(server_round, results, failures)
        noise = int.from_bytes(os.urandom(2))  # as that of differential privacy: drawn once
        arrays = [array + noise for array in parameters_to_ndarrays(parameters)]
        print("aggregated", server_round, arrays[0][0])
        return ndarrays_to_parameters(arrays), metrics

app = ServerApp()

def fit(grid, context):
    default_fit_workflow(grid, context)
    own = context.state.metric_records.setdefault("own", MetricRecord({"fits": 0}))
    own["fits"] += 1

@app.main()
def main(grid, context):
    gate = context.run_config["wait-at"]
    strategy = Noisy(
        on_fit_config_fn=lambda number: {"round": number, "wait-at": ""},
        on_evaluate_config_fn=lambda number: {
            "round": number, "wait-at": gate if number == 2 else ""
        },
        initial_parameters=ndarrays_to_parameters([np.zeros(4, np.float32)]),
    )
    legacy = LegacyContext(context, ServerConfig(num_rounds=3), strategy)
    DefaultWorkflow(fit_workflow=fit)(grid, legacy)
    rounds = [number for number, _ in legacy.history.losses_distributed]
    print("in the end", rounds, context.state["own"]["fits"], "fits")
"""

EXPECTED = [
    "round 1 examples [10, 20] failures []",
    "evaluated 1 [6.0, 7.0] 6.5",
    "round 2 examples [10, 20] failures []",
    "evaluated 2 [16.0, 17.0] 16.5",
    "round 3 examples [10, 20] failures []",
    "evaluated 3 [30.0, 31.0] 30.5",
]


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """Return the folder of the app."""
    folder = tmp_path / "app"
    package = folder / "legacy"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "server_app.py").write_text(SERVER)
    (package / "client_app.py").write_text(CLIENT)
    (folder / "pyproject.toml").write_text(PROJECT)
    return folder


def told(output: str) -> list[str]:
    """Return the lines that the strategy printed."""
    return [line for line in output.splitlines() if line.startswith(("round ", "evaluated "))]


def test_a_strategy_of_ones_own_in_a_simulation(tmp_path: Path, app: Path) -> None:
    here = Deployment(tmp_path)
    with contextlib.closing(here):
        ended = here.flwr("run", app, "here", "--stream")
    assert ended.code == 0, ended
    assert told(ended.out) == EXPECTED
    assert "History (loss, distributed)" in ended.out + ended.err


def test_a_strategy_of_ones_own_with_real_nodes(deployment: Deployment, app: Path) -> None:
    ended = deployment.flwr("run", app, "hub", "--stream")
    assert ended.code == 0, ended
    assert told(ended.out) == EXPECTED
    (run,) = deployment.run_json("ls", "hub")["runs"]
    assert run["rounds-done"] == 3


def test_a_killed_serverapp_goes_on_from_its_checkpoint(
    deployment: Deployment, app: Path, tmp_path: Path
) -> None:
    with gate(tmp_path / "gate") as open_gate:
        run_id = deployment.submit(app, "-c", f"wait-at='{tmp_path / 'gate'}'")
        for node in deployment.nodes:
            node.wait_for("training for 2")
        wait_until(lambda: deployment.run(run_id)["rounds-done"] == 1)
        for process in deployment.app_processes():
            process.kill()
        open_gate()
        log = deployment.follow(run_id)
    assert told(log.out) == EXPECTED
    assert "Going on after round 1" in log.out
    assert log.out.count("[ROUND 1]") == 1
    assert "round 1: 6.5" in log.out  # the history is whole
    for node in deployment.nodes:
        assert node.output.count("training for 1") == 1
        assert node.output.count("training for 2") == 1


def test_a_workflow_that_is_killed_while_clients_evaluate_goes_on_there(
    deployment: Deployment, app: Path, tmp_path: Path
) -> None:
    (app / "legacy" / "server_app.py").write_text(WORKFLOW)
    with gate(tmp_path / "gate") as open_gate:
        run_id = deployment.submit(app, "-c", f"wait-at='{tmp_path / 'gate'}'")
        for node in deployment.nodes:
            node.wait_for("training for 2")
            node.wait_for("evaluating for 2")
        for process in deployment.app_processes():
            process.kill()
        open_gate()
        log = deployment.follow(run_id)
    # not again; what a process prints in its last milliseconds may be killed with it
    assert log.out.count("aggregated 2") <= 1, log
    assert "Going on after training of round 2" in log.out
    assert "in the end [1, 2, 3] 3 fits" in log.out
    for node in deployment.nodes:
        assert node.output.count("training for") == 3
        assert node.output.count("evaluating") == 3
