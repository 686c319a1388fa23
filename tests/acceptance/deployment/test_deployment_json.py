"""What commands about a SuperLink print as JSON, and the rows of the errors that need one."""

import json
import signal
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

from deployed import Deployment, Outcome, gate
from jsonschema import Draft202012Validator

WriteApp = Callable[..., Path]


def checked(words: str, ended: Outcome, status: int = 0) -> dict[str, Any]:
    """Return what a command printed, if its schema describes it and its status is right."""
    name = f"{words.replace(' ', '-')}.json"
    schema = json.loads((files("flwr.cli") / "schemas" / name).read_text())
    told = ended.json()
    Draft202012Validator(schema).validate(told)
    assert ended.code == status, ended
    assert told["success"] is (status == 0)
    return told


def ask(shared: Deployment, words: str, *arguments: str | Path, status: int = 0) -> dict[str, Any]:
    ended = shared.flwr(*words.split(), *arguments, "--format", "json")
    return checked(words, ended, status)


def test_outputs(shared: Deployment, app: WriteApp) -> None:
    followed = ask(shared, "run", app(), "hub", "--stream")
    run_id = followed["run-id"]
    assert (followed["status"], followed["exit-code"]) == ("finished:completed", 0)
    assert ask(shared, "list", "hub")["runs"][0]["run-id"] == run_id
    assert "the server prints" in ask(shared, "log", run_id, "hub")["log"]
    assert "the server prints" in ask(shared, "log", run_id, "hub", "--show")["log"]
    nodes = ask(shared, "supernode list", "hub")["nodes"]
    assert [node["status"] for node in nodes] == ["online", "online"]


def test_row_10_3_errors_of_a_superlink(shared: Deployment) -> None:
    for words in ("list", "log", "stop"):
        arguments = ["hub", "--run-id", "42"] if words == "list" else ["42", "hub"]
        error = ask(shared, words, *arguments, status=1)["error"]
        assert error["code"] == "run-not-found"
        assert "42" in error["message"]


def test_rows_10_5_and_12_7_of_runs_that_fail(shared: Deployment, app: WriteApp) -> None:
    folder = app(after="context.run_config['num-server-rounds'] + 1")
    wrong = ("-c", "num-server-rounds='two'")
    failed = ask(shared, "run", folder, "hub", "--stream", *wrong, status=201)
    assert failed["status"] == "finished:failed"
    assert failed["error"]["code"] == "run-failed"
    assert (
        "'num-server-rounds' was set to 'two' (text); by default it is 2 (a whole number)."
        in failed["error"]["message"]
    )
    unknown = ask(shared, "run", folder, "hub", "-c", "num-round=1", status=1)
    assert unknown["error"]["code"] == "run-config"
    assert "'num-round'; did you mean" in unknown["error"]["message"]


def test_rows_10_6_8_and_12_4_of_a_run_that_is_followed(
    shared: Deployment, app: WriteApp, tmp_path: Path
) -> None:
    with gate(tmp_path / "gate") as open_gate:
        folder = app(before=f"wait_at({str(tmp_path / 'gate')!r})")
        following = shared.start("user", "flwr", "run", folder, "hub", "--stream")
        run_id = following.wait_for(r"started run (\d+)")[1]
        following.wait_for("the server prints")
        following.send(signal.SIGTERM)  # Ctrl-C is tested in test_deployment_runs.py
        assert following.wait() == 143
        assert f"Detached: run {run_id} goes on." in following.output.splitlines()[-1]
        assert f"flwr log {run_id} hub" in following.output
        assert shared.run(run_id)["status"] == "running"
        told = ask(shared, "stop", run_id, "hub")
        assert told["status"] == "finished:stopped"
        again = ask(shared, "stop", run_id, "hub", status=1)
        assert again["error"]["code"] == "run-state"
        open_gate()
