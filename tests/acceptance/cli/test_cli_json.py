"""What commands print as JSON: all of stdout, and as the schemas in the package say."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_apps import Flwr
from jsonschema import Draft202012Validator
from schemas import FOLDER, checked, read_schema
from typer.testing import CliRunner

from flwr.cli.commands import app as tree
from flwr.cli.reference import commands
from flwr.cli.unavailable import LACKS

COMMANDS = dict(commands())

# One way for each command to fail, from an empty home and an empty folder, without any network.
FAILURES = {
    "new": ["9lives"],
    "run": ["nowhere"],
    "list": ["nowhere"],
    "log": ["42"],
    "stop": ["42"],
    "why": ["42"],
    "doctor": ["nowhere"],
    "supernode list": [],
    "supernode unregister": ["42"],
    "build": [],
    "install": ["nowhere.fab"],
    "config list": [],
    "federation list": ["nowhere"],
    "login": [],
    "pull": ["42"],
    "chat": [],
    "app publish": [],
    "app review": ["@a/b"],
    "supernode register": ["key.pub"],
    "federation create": ["mine"],
    "federation archive": ["@a/b"],
    "federation add-supernode": ["42", "@a/b"],
    "federation remove-supernode": ["42", "@a/b"],
    "federation remove-account": ["@a/b"],
    "federation simulation-config": [],
    "federation invite create": ["me", "@a/b"],
    "federation invite accept": ["@a/b"],
    "federation invite reject": ["@a/b"],
    "federation invite revoke": ["me", "@a/b"],
    "federation invite list": [],
}
BROKEN_CONFIG = {"config list": "x = ["}  # what fails in no other way


def test_every_command_has_a_schema_and_every_schema_a_command() -> None:
    names = {Path(file.name).stem for file in FOLDER.iterdir() if file.name.endswith(".json")}
    available = COMMANDS.keys() - LACKS.keys()
    assert names == {words.replace(" ", "-") for words in available} | {"unavailable"}


@pytest.mark.parametrize("words", COMMANDS)
def test_every_command_takes_the_format(words: str) -> None:
    assert any("--format" in parameter.opts for parameter in COMMANDS[words].params)


@pytest.mark.parametrize("words", COMMANDS)
def test_schemas_are_sound_and_tell_failures_alike(words: str) -> None:
    schema = read_schema(words)
    Draft202012Validator.check_schema(schema)
    assert schema["title"] == f"flwr {'COMMAND' if words in LACKS else words} --format json"
    failure = schema["$defs"]["failure"]
    assert {"success", "error-message", "error"} <= set(failure["required"])
    assert failure["additionalProperties"] is False
    assert schema["$defs"]["error"] == read_schema("list")["$defs"]["error"]


def test_every_command_has_a_failure_here() -> None:
    assert set(FAILURES) == set(COMMANDS)


@pytest.mark.parametrize("words", FAILURES)
def test_failures(words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    if words in BROKEN_CONFIG:
        (tmp_path / "home").mkdir()
        (tmp_path / "home" / "config.toml").write_text(BROKEN_CONFIG[words])
    arguments = [*words.split(), *FAILURES[words], "--format", "json"]
    ended = CliRunner().invoke(tree, arguments)
    told = checked(words, ended.stdout, success=False)
    assert ended.exit_code == 1
    assert told["error-message"] == told["error"]["message"]
    assert told["error"]["message"] in ended.stderr


def test_successes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Those of commands about runs are below, those at a SuperLink in tests/acceptance/deployment.
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def ask(words: str, *arguments: str) -> dict[str, Any]:
        ended = CliRunner().invoke(tree, [*words.split(), *arguments, "--format", "json"])
        assert ended.exit_code == 0, ended.stderr
        return checked(words, ended.stdout, success=True)

    assert ask("list")["runs"] == []
    made = ask("new", "my-app", "--framework", "numpy", "--username", "me")
    assert made["framework"] == "NumPy"
    built = ask("build", "--app", "my-app")
    assert built["fab-id"] == "me/my-app"
    assert ask("install", built["fab-filename"])["installed"] is True
    assert ask("install", built["fab-filename"])["installed"] is False
    assert "local" in ask("config list")["superlink"]
    assert ask("federation list")["federations"]
    assert ask("federation list", "--federation", "@none/default")["federation"]["runs"] == []
    assert all(check["status"] != "problem" for check in ask("doctor")["checks"])


@pytest.mark.parametrize("arguments", [["log", "abc"], ["run", "--frobnicate"], ["frobnicate"]])
def test_wrong_usage(flwr: Flwr, arguments: list[str]) -> None:
    ended = flwr(*arguments, "--format", "JSON")
    assert ended.code == 2
    told = checked("log", ended.out, success=False)
    assert told["error"]["code"] == "usage"
    assert told["error"]["message"] in " ".join(ended.err.replace("│", " ").split())


LOUD = """
    import atexit, logging, os, subprocess, sys, warnings
    atexit.register(print, "after the end")
    os.write(1, b"past Python\\n")
    subprocess.run(["echo", "a child"], check=True)
    sys.__stdout__.write("to the first stdout\\n")
    logging.basicConfig(stream=sys.stdout); logging.getLogger("loud").warning("logged")
"""


def test_nothing_but_json_is_on_stdout(flwr: Flwr, app: Callable[..., Path]) -> None:
    loud = LOUD.strip()
    ended = flwr("run", app(then=loud, first="import os; os.write(1, b'deep\\n')"), "--format=json")
    assert ended.code == 0, ended.err
    told = checked("run", ended.out, success=True)
    for text in ("past Python", "a child", "the first stdout", "logged", "deep", "after the end"):
        assert text in ended.err
    run_id = told["run-id"]
    listed = checked("list", flwr("list", "--format", "json").out, success=True)
    assert [run["run-id"] for run in listed["runs"]] == [run_id]
    one = flwr("ls", "--format", "json", "--run-id", run_id)
    checked("list", one.out, success=True)
    log = checked("log", flwr("log", run_id, "--format", "json").out, success=True)
    assert log["run-id"] == run_id
    assert "the server prints" in log["log"]
    why = checked("why", flwr("why", run_id, "--format", "json").out, success=True)
    assert why["cause"] == "completed"


def test_a_failed_run(flwr: Flwr, app: Callable[..., Path]) -> None:
    ended = flwr("run", app(then="print('x'); raise ValueError('all is lost')"), "--format", "json")
    assert ended.code == 1
    told = checked("run", ended.out, success=False)
    assert told["status"] == "finished:failed"
    assert isinstance(told["run-id"], str)


def test_an_error_of_our_own_is_json_as_well(flwr: Flwr, tmp_path: Path) -> None:
    patch = tmp_path / "patch"
    patch.mkdir()
    (patch / "sitecustomize.py").write_text(
        "import flwr.cli.runs\nflwr.cli.runs.read_runs = lambda *_: 1 / 0\n"
    )
    ended = flwr.in_shell("flwr ls --format json", PYTHONPATH=str(patch))
    assert ended.code == 1
    told = checked("list", ended.out, success=False)
    assert told["error"]["code"] == "unexpected"
    assert "ZeroDivisionError" in told["error"]["message"]
    assert "Traceback" in ended.err


def test_an_interrupted_run(flwr: Flwr, app: Callable[..., Path]) -> None:
    folder = app(then="import os, signal; os.kill(os.getpid(), signal.SIGINT)")
    ended = flwr("run", folder, "--format", "json")
    assert ended.code == 130
    told = checked("run", ended.out, success=False)
    assert told["error"]["code"] == "interrupted"
    assert told["status"] == "finished:stopped"
    assert json.loads(flwr("ls", "--format", "json").out)["runs"][0]["status"] == told["status"]
