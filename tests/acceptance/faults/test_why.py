"""`flwr why`: the same first cause as the run itself named, of live runs too."""

import json
import re
from typing import Any

import pytest
from bench import Bench, Terminal
from deployed import gate, wait_until
from injections_into_apps import INJECTIONS as INTO_APPS
from injections_into_apps import asking
from injections_into_deployments import own_deployment


def run_id_of(terminal: Terminal) -> str:
    found = re.search(r"started run (\d+)", terminal.text)
    assert found, terminal.text
    return found[1]


def why_here(bench: Bench, run_id: str) -> dict[str, Any]:
    asked = bench.start("flwr", "why", run_id, "--format", "json")
    assert asked.end() == 0, asked.text
    told = json.loads(asked.text)
    assert isinstance(told, dict)
    assert told["success"] is True
    assert told["run-id"] == run_id
    return told


@pytest.mark.parametrize(
    ("fault", "cause"),
    [
        ("client_import", "import-error"),
        ("main_raises", "server-app-raised"),
        ("client_killed_for_memory", "out-of-memory"),
    ],
)
def test_the_run_and_why_name_the_same_cause(bench: Bench, fault: str, cause: str) -> None:
    INTO_APPS[fault](bench)
    assert bench.terminal is not None
    run = bench.terminal
    assert run.end() != 0
    run_id = run_id_of(run)
    assert f"flwr why {run_id}" in run.text
    told = why_here(bench, run_id)
    assert told["status"] == "finished:failed"
    assert told["cause"] == cause
    assert told["headline"].partition(" (on ")[0] in run.text
    assert told["advice"]
    if fault == "client_import":  # where it is missed, and not where the ServerApp heard of it
        assert any("client" in line and "line" in line for line in told["evidence"])


def test_a_completed_run_with_failures(bench: Bench) -> None:
    run = bench.run(bench.app(client={"# train": "if first(context): raise KeyError('one')"}))
    assert run.end() == 0, run.text
    told = why_here(bench, run_id_of(run))
    assert told["cause"] == "completed-with-failures"
    assert "2 of 8 messages failed" in told["headline"]
    assert "KeyError: 'one'" in told["headline"]


def test_a_run_whose_process_was_killed(bench: Bench) -> None:
    run = bench.run(bench.app(client={"# train": "import threading; threading.Event().wait(20)"}))
    run.wait_for("configure_train")
    run.process.kill()
    run.end()
    told = why_here(bench, run_id_of(run))
    assert (told["status"], told["cause"]) == ("finished:failed", "process-died")


def test_what_a_run_at_a_superlink_waits_for(bench: Bench) -> None:
    deployment = bench.deployment

    def why(run_id: str) -> dict[str, Any]:
        return deployment.run_json("why", run_id, "hub")

    five = bench.app(server={'{"min_available_nodes": 2}': '{"min_available_nodes": 5}'})
    run_id = deployment.submit(five)
    wait_until(lambda: why(run_id)["cause"] == "nodes-missing")
    told = why(run_id)
    assert told["headline"] == "It waits for nodes: 2 of 5 are connected."
    assert f"flwr stop {run_id}" in told["advice"][0]
    shown = deployment.flwr("ls", "hub", "--run-id", run_id)
    assert f"flwr why {run_id} hub" in shown.out
    assert deployment.flwr("stop", run_id, "hub").code == 0
    assert why(run_id)["cause"] == "stopped"
    assert re.search(r"stopped at 20\d\d-.*Z, after", why(run_id)["headline"])
    assert "2 of 5 were connected" in why(run_id)["evidence"][0]


def test_whose_reply_a_run_waits_for(bench: Bench) -> None:
    deployment = bench.deployment
    with gate(bench.folder / "gate") as open_gate:
        waits = f"if first(context): open({str(bench.folder / 'gate')!r}).read()"
        app = bench.app(client={"# train": waits})
        run_id = deployment.submit(app, "-c", "num-server-rounds=1")

        def waiting() -> bool:
            told = deployment.run_json("why", run_id, "hub")
            return told["cause"] == "waiting-for-replies" and len(told["evidence"]) == 1

        wait_until(waiting)
        open_gate()
    assert deployment.follow(run_id).code == 0
    assert deployment.run_json("why", run_id, "hub")["cause"] == "completed"


def test_a_node_that_is_gone_is_what_a_run_waits_for(bench: Bench) -> None:
    deployment = own_deployment(bench)
    node = deployment.start_node(0, 1)
    hangs = {"# train": "import threading; threading.Event().wait(20)"}
    run_id = deployment.submit(bench.app(server=asking("train"), client=hangs))

    def why() -> dict[str, Any]:
        return deployment.run_json("why", run_id, "hub")

    wait_until(lambda: why()["cause"] == "waiting-for-replies")
    node.kill()
    wait_until(lambda: why()["cause"] == "node-away")
    assert "which is not connected any more" in why()["headline"]


def test_an_unknown_run(bench: Bench) -> None:
    asked = bench.start("flwr", "why", "42")
    assert asked.end() == 1
    assert "42" in asked.text
