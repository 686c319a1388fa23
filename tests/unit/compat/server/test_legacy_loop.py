"""The legacy loop over clients of the user's own: its lines, its history, and what ends it."""

import logging
import re
from typing import Any

import numpy as np
import pytest
from counting import DirectClient, managing

from flwr.common import (
    Code,
    FitIns,
    Parameters,
    Status,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
)
from flwr.server import History, Server, ServerConfig
from flwr.server.server import (
    evaluate_clients,
    fit_clients,
    init_defaults,
    reconnect_clients,
    run_fl,
)
from flwr.server.strategy import FedAvg

NOT_OK = Status(Code.FIT_NOT_IMPLEMENTED, "not here")


def lines_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]


def run(strategy: FedAvg, *clients: DirectClient, rounds: int = 1, **config: Any) -> History:
    server = Server(client_manager=managing(*clients), strategy=strategy)
    return run_fl(server, ServerConfig(num_rounds=rounds, **config))


def test_the_lines_of_a_run(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "flwr")
    strategy = FedAvg(
        evaluate_fn=lambda number, arrays, config: (float(arrays[0][0]) / 2, {"half": number}),
        evaluate_metrics_aggregation_fn=lambda metrics: {"seen": len(metrics)},
        fit_metrics_aggregation_fn=lambda metrics: {"trained": len(metrics)},
    )
    history = run(strategy, *(DirectClient(str(n)) for n in range(3)), rounds=2)
    lines = [re.sub(r"\d\.\d+(e-\d+)?\)$", "*)", line) for line in lines_of(caplog)]
    assert [re.sub(r"in \d+\.\d\ds", "in *s", line) for line in lines] == [
        "[INIT]",
        "Requesting initial parameters from one random client",
        "Received initial parameters from one random client",
        "Starting evaluation of initial global parameters",
        "initial parameters (loss, other metrics): 0.0, {'half': 0}",
        "",
        "[ROUND 1]",
        "configure_fit: strategy sampled 3 clients (out of 3)",
        "aggregate_fit: received 3 results and 0 failures",
        "fit progress: (1, 0.5, {'half': 1}, *)",
        "configure_evaluate: strategy sampled 3 clients (out of 3)",
        "aggregate_evaluate: received 3 results and 0 failures",
        "",
        "[ROUND 2]",
        "configure_fit: strategy sampled 3 clients (out of 3)",
        "aggregate_fit: received 3 results and 0 failures",
        "fit progress: (2, 1.0, {'half': 2}, *)",
        "configure_evaluate: strategy sampled 3 clients (out of 3)",
        "aggregate_evaluate: received 3 results and 0 failures",
        "",
        "[SUMMARY]",
        "Run finished 2 round(s) in *s",
        "\tHistory (loss, distributed):",
        "\t\tround 1: 1.0",
        "\t\tround 2: 2.0",
        "\tHistory (loss, centralized):",
        "\t\tround 0: 0.0",
        "\t\tround 1: 0.5",
        "\t\tround 2: 1.0",
        "\tHistory (metrics, distributed, fit):",
        "\t{'trained': [(1, 3), (2, 3)]}",
        "\tHistory (metrics, distributed, evaluate):",
        "\t{'seen': [(1, 3), (2, 3)]}",
        "\tHistory (metrics, centralized):",
        "\t{'half': [(0, 0), (1, 1), (2, 2)]}",
        "",
    ]
    assert history.losses_distributed == [(1, 1.0), (2, 2.0)]
    assert history.metrics_centralized == {"half": [(0, 0), (1, 1), (2, 2)]}


def test_the_lines_when_nothing_is_to_be_done(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "flwr")

    class Idle(FedAvg):
        def configure_fit(self, *_: Any, **__: Any) -> Any:
            return []

        def configure_evaluate(self, *_: Any, **__: Any) -> Any:
            return None

    given = ndarrays_to_parameters([np.ones(2)])
    history = run(Idle(initial_parameters=given), DirectClient("a"))
    lines = lines_of(caplog)
    assert lines[1:4] == [
        "Using initial global parameters provided by strategy",
        "Starting evaluation of initial global parameters",
        "Evaluation returned no results (`None`)",
    ]
    assert lines[6:8] == [
        "configure_fit: no clients selected, cancel",
        "configure_evaluate: no clients selected, skipping evaluation",
    ]
    assert repr(history) == ""


def test_a_client_without_parameters_gives_empty_ones(caplog: pytest.LogCaptureFixture) -> None:
    lacking = DirectClient("a", Status(Code.GET_PARAMETERS_NOT_IMPLEMENTED, "not here"))
    Server(client_manager=managing(lacking)).fit(0, None)
    assert "Empty initial parameters will be used." in caplog.text


def test_timeouts_and_rounds_reach_the_clients() -> None:
    client = DirectClient("a")
    strategy = FedAvg(min_fit_clients=1, min_evaluate_clients=1, min_available_clients=1)
    run(strategy, client, rounds=2, round_timeout=7.5)
    assert client.asked == [
        ("get_parameters", 7.5, 0),
        ("fit", 7.5, 1),
        ("evaluate", 7.5, 1),
        ("fit", 7.5, 2),
        ("evaluate", 7.5, 2),
        ("reconnect", 7.5, None),
    ]


def test_results_that_are_not_ok_and_exceptions_are_failures() -> None:
    fine, raising, lacking = (
        DirectClient("fine"),
        DirectClient("raising", ValueError("broken")),
        DirectClient("lacking", NOT_OK),
    )
    seen: list[Any] = []

    class Watching(FedAvg):
        def aggregate_fit(self, server_round: int, results: Any, failures: Any) -> Any:
            seen.append((results, failures))
            return super().aggregate_fit(server_round, results, failures)

    strategy = Watching(initial_parameters=ndarrays_to_parameters([np.zeros(2)]))
    server = Server(client_manager=managing(fine, raising, lacking), strategy=strategy)
    server.parameters = server._get_initial_parameters(server_round=0, timeout=None)
    answer = server.fit_round(1, None)
    assert answer is not None
    parameters, _, (results, failures) = answer
    assert parameters is not None
    assert parameters_to_ndarrays(parameters)[0].tolist() == [1.0, 1.0]
    assert [client for client, _ in results] == [fine]
    errors = [failure for failure in failures if isinstance(failure, BaseException)]
    pairs = [failure for failure in failures if isinstance(failure, tuple)]
    assert [str(error) for error in errors] == ["broken"]
    assert [(client, result.status) for client, result in pairs] == [(lacking, NOT_OK)]
    assert seen == [(results, failures)]


def test_the_model_is_kept_when_there_is_no_new_one() -> None:
    class Losing(FedAvg):
        def aggregate_fit(self, *_: Any) -> Any:
            return None, {}

    given = ndarrays_to_parameters([np.ones(2)])
    server = Server(
        client_manager=managing(DirectClient("a"), DirectClient("b")),
        strategy=Losing(initial_parameters=given),
    )
    server.fit(1, None)
    assert server.parameters is given


def test_what_a_strategy_raises_ends_the_run() -> None:
    class Broken(FedAvg):
        def aggregate_fit(self, *_: Any) -> Any:
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        run(Broken(), DirectClient("a"), DirectClient("b"))


def test_clients_that_cannot_be_disconnected_do_no_harm() -> None:
    leaving, staying = DirectClient("a"), DirectClient("b")
    server = Server(client_manager=managing(leaving, staying))
    leaving.fails = OSError("gone")
    server.disconnect_all_clients(timeout=1.0)
    assert staying.asked == [("reconnect", 1.0, None)]
    results, failures = reconnect_clients([(leaving, None), (staying, None)], None, None)  # type: ignore[list-item]
    assert [client for client, _ in results] == [staying]
    assert failures == [leaving.fails]


def test_threads_are_limited_and_none_is_needed_for_nobody() -> None:
    ins = FitIns(ndarrays_to_parameters([np.zeros(1)]), {})
    clients = [DirectClient(str(number)) for number in range(5)]
    results, failures = fit_clients([(each, ins) for each in clients], 2, None, 1)
    assert ([client for client, _ in results], failures) == (clients, [])
    assert fit_clients([], None, None, 1) == ([], [])
    assert evaluate_clients([], None, None, 1) == ([], [])


def test_a_server_of_ones_own_overrides_its_steps() -> None:
    class Own(Server):
        def _get_initial_parameters(self, server_round: int, timeout: float | None) -> Parameters:
            return ndarrays_to_parameters([np.full(2, 5.0)])

        def evaluate_round(self, server_round: int, timeout: float | None) -> Any:
            return 0.25, {"own": 1}, ([], [])

    server = Own(client_manager=managing(DirectClient("a"), DirectClient("b")))
    history, seconds = server.fit(num_rounds=1, timeout=None)
    assert history.losses_distributed == [(1, 0.25)]
    assert history.metrics_distributed == {"own": [(1, 1)]}
    assert parameters_to_ndarrays(server.parameters)[0].tolist() == [6.0, 6.0]
    assert seconds > 0


def test_parts_of_a_run_and_their_defaults(caplog: pytest.LogCaptureFixture) -> None:
    server, config = init_defaults(None, None, None, None)
    assert isinstance(server.strategy, FedAvg)
    assert repr(config) == "num_rounds=1, no round_timeout"
    assert str(ServerConfig(3, 5.0)) == "num_rounds=3, round_timeout=5.0s"
    again, _ = init_defaults(server, None, FedAvg(), None)
    assert again is server
    assert "Both server and strategy were provided, ignoring strategy" in caplog.text
    with pytest.raises(TypeError, match=r"FedAvg is a class: give an object, FedAvg\(...\)"):
        init_defaults(None, None, FedAvg, None)  # type: ignore[arg-type]


def answering(method: str, returned: Any) -> Server:
    """A server whose strategy returns something in one method."""
    members = {method: lambda self, *args, **kwargs: returned}
    strategy = type("Mine", (FedAvg,), members)(
        initial_parameters=ndarrays_to_parameters([np.zeros(2)])
    )
    return Server(client_manager=managing(DirectClient("a"), DirectClient("b")), strategy=strategy)


@pytest.mark.parametrize(
    ("method", "returned", "found"),
    [
        ("initialize_parameters", [np.zeros(2)], "a list of 1 (ndarray)"),
        ("configure_fit", {"a": 1}, "a dict"),
        ("configure_fit", [DirectClient("a")], "a list whose item 0 is a DirectClient"),
        ("configure_evaluate", [("a", 3)], "a list whose item 0 is a tuple of 2 (str, int)"),
        ("aggregate_fit", None, "None"),
        ("aggregate_fit", ndarrays_to_parameters([]), "a Parameters"),
        ("aggregate_fit", (None, {}, 3), "a tuple of 3 (NoneType, dict, int)"),
        ("aggregate_fit", ([np.zeros(2)], {}), "a list of 1 (ndarray) in place of Parameters"),
        ("aggregate_fit", (None, None), "None in place of the metrics"),
        ("aggregate_evaluate", 0.5, "a float"),
        ("aggregate_evaluate", (0.5, 0.25), "a float in place of the metrics"),
        ("evaluate", 0.5, "a float"),
        ("evaluate", (0.5, [1]), "a list of 1 (int) in place of the metrics"),
    ],
)
def test_wrong_returns_name_the_function_and_what_it_returned(
    method: str, returned: Any, found: str
) -> None:
    with pytest.raises(TypeError) as caught:
        answering(method, returned).fit(1, None)
    assert str(caught.value).startswith(f"`Mine.{method}` must return ")
    assert f"It returned {found}" in str(caught.value)


def test_returns_that_are_not_quite_as_documented_are_taken() -> None:
    history, _ = answering("aggregate_evaluate", [None, None]).fit(1, None)
    assert history.losses_distributed == []
    history, _ = answering("aggregate_fit", [None, {"a": 1}]).fit(1, None)
    assert history.metrics_distributed_fit == {"a": [(1, 1)]}
    history, _ = answering("configure_fit", None).fit(1, None)
    assert history.losses_distributed == [(1, 0.0)]


def test_a_server_may_have_methods_of_any_name() -> None:
    documented = {
        *["client_manager", "disconnect_all_clients", "evaluate_round", "fit", "fit_round"],
        *["set_max_workers", "set_strategy"],
    }
    ours = {"teller"}
    assert {name for name in vars(Server) if not name.startswith("_")} == documented | ours
