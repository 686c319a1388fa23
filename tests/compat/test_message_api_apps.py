"""Apps written for the Message API, as users publish them, run unchanged."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest

from flwr.simulation import run_simulation


@pytest.fixture(autouse=True)
def apps_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "apps"))


def app(name: str) -> ModuleType:
    return importlib.reload(importlib.import_module(name))


def test_a_numpy_app_with_central_evaluation_learns() -> None:
    linear = app("linear_numpy")
    run_simulation(linear.server_app, linear.client_app, num_supernodes=8)
    assert len(linear.history) == 6
    assert linear.history[-1] < linear.history[0] / 100


def test_a_pytorch_app_with_node_state_and_a_strategy_of_its_own_learns() -> None:
    custom = app("custom_strategy")
    run_simulation(
        server_app=custom.server,
        client_app=custom.app,
        num_supernodes=3,
        backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}},
    )
    assert [server_round for server_round, _ in custom.saved] == [1, 2, 3, 4]
    assert custom.saved[-1][1] < custom.saved[0][1]


def test_an_app_without_a_strategy_talks_to_its_nodes_by_itself() -> None:
    analytics = app("analytics")
    run_simulation(analytics.server, analytics.client, 5, backend_name="ray")
    assert sum(analytics.totals[0]) == 500
    assert analytics.failed == [2]
