"""The tree of commands: both versions' arguments, what works, and what says that it does not."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_apps import Flwr, write_app
from schemas import checked
from typer.testing import CliRunner, Result

from flwr.cli.commands import app as tree
from flwr.cli.reference import commands
from flwr.cli.unavailable import LACKS

COMMANDS = {
    "new", "run", "build", "install", "list", "log", "stop", "login", "pull", "chat",
    "supernode list", "supernode register", "supernode unregister",
    "federation list", "federation create", "federation archive", "federation add-supernode",
    "federation remove-supernode", "federation remove-account", "federation simulation-config",
    "federation invite list", "federation invite create", "federation invite accept",
    "federation invite reject", "federation invite revoke",
    "app publish", "app review", "config list",
}  # fmt: skip
SCRIPTS = {
    "flwr", "flower-superlink", "flower-supernode", "flower-superexec", "flower-simulation",
    "flwr-serverapp", "flwr-clientapp", "flwr-simulation",
}  # fmt: skip
ROOT = Path(__file__).parents[3]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Return a function that runs a command in this process, in an empty folder and home."""
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(tree, [str(word) for word in words])


def test_all_commands_and_scripts_of_flower_are_there() -> None:
    assert dict(commands()).keys() >= COMMANDS
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts.keys() >= SCRIPTS


@pytest.mark.parametrize(("words", "command"), list(commands()))
def test_everything_is_explained(words: str, command: object) -> None:
    assert command.help, words  # type: ignore[attr-defined]
    for parameter in command.params:  # type: ignore[attr-defined]
        assert parameter.help or parameter.name == "help", (words, parameter.name)


# -- what is not available

UNAVAILABLE = [
    ("login", "", 19), ("login", ". fed", 19), ("login", "hub", 19), ("pull", "5", 20),
    ("pull", "5 hub", 20), ("chat", "", None),
    ("app publish", "", None), ("app publish", ".", None),
    ("app review", "@a/b==1.0.0", None),
    ("supernode register", "key.pub hub --name x --location 1,2", None),
    ("federation create", "mine hub --description x --simulation", 1),
    ("federation archive", "@a/b hub", 1),
    ("federation add-supernode", "5 @a/b hub", 1), ("federation remove-supernode", "5 @a/b hub", 1),
    ("federation remove-account", "@a/b me hub", 1),
    ("federation simulation-config", "@a/b hub --init-args-log-to-driver true", 1),
    ("federation invite list", "hub --verbose", 1), ("federation invite create", "me @a/b hub", 1),
    ("federation invite accept", "@a/b hub", 1), ("federation invite reject", "@a/b hub", 1),
    ("federation invite revoke", "me @a/b hub", 1),
]  # fmt: skip


def test_all_that_is_not_available_is_tested() -> None:
    assert {words for words, _, _ in UNAVAILABLE} == LACKS.keys()


@pytest.mark.parametrize(("words", "arguments", "number"), UNAVAILABLE)
def test_what_is_not_available_says_so_and_what_to_use(
    here: Callable[..., Result], words: str, arguments: str, number: int | None
) -> None:
    ended = here(*words.split(), *arguments.split())
    assert ended.exit_code == 1
    assert ended.stdout == ""
    code = f"[code: {number}] " if number else ""
    assert ended.stderr.startswith(f"Error: {code}flwr {words} is not available. ")
    assert LACKS[words].instead in ended.stderr
    in_json = here(*words.split(), *arguments.split(), "--format", "json")
    told = checked(words, in_json.stdout, success=False)
    assert in_json.exit_code == 1
    assert told["error"]["code"] == "not-available"


@pytest.mark.parametrize("words", ["run @a/b", "run @a/b==1.0.0", "run @a/b hub"])
def test_apps_of_the_hub_are_not_available(here: Callable[..., Result], words: str) -> None:
    ended = here(*words.split(), "--format", "json")
    assert ended.exit_code == 1
    assert json.loads(ended.stdout)["error"]["code"] == "not-available"
    assert "flwr install" in ended.stderr


@pytest.mark.parametrize("words", ["supernode register", "pull", "federation create", "app review"])
def test_missing_arguments_are_wrong_usage(here: Callable[..., Result], words: str) -> None:
    assert here(*words.split()).exit_code == 2


# -- config list


def test_connections_are_listed(here: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text(
        '[superlink]\ndefault = "hub"\n[superlink.hub]\naddress = "h:1"\n'
    )
    listed = here("config", "list").stdout.splitlines()
    assert listed[0] == f"Flower Config file: {tmp_path / 'home' / 'config.toml'}"
    assert {"  hub (default)", "  local"} <= set(listed)
    told = checked("config list", here("config", "ls", "--format", "json").stdout, success=True)
    assert told["default"] == "hub"
    assert set(told["superlink"]) == {"hub", "local"}


def test_without_a_file_there_is_one_connection_and_no_file_is_made(
    here: Callable[..., Result], tmp_path: Path
) -> None:
    told = checked("config list", here("config", "list", "--format=json").stdout, success=True)
    assert (told["superlink"], told["default"]) == (["local"], "local")
    assert not (tmp_path / "home" / "config.toml").exists()


# -- federation list


def test_the_federation_of_a_place(here: Callable[..., Result], tmp_path: Path) -> None:
    folder = write_app(tmp_path / "tiny")
    assert "@none/default" in here("federation", "list").stdout
    told = here("federation", "ls", folder, "pair", "--format", "json").stdout
    (one,) = checked("federation list", told, success=True)["federations"]
    assert (one["id"], one["simulation"], one["archived"]) == ("@none/default", True, False)
    words = ["federation", "list", folder, "pair", "--federation", "@none/default"]
    shown = checked("federation list", here(*words, "--format", "json").stdout, success=True)
    assert shown["federation"]["simulation-config"]["num_supernodes"] == 2
    assert shown["federation"]["runs"] == shown["federation"]["nodes"] == []
    assert "num-supernodes" in here(*words).stdout
    unknown = here("federation", "list", "--federation", "@a/b")
    assert unknown.exit_code == 1
    assert "There is no federation '@a/b'" in unknown.stderr


# -- arguments of both versions


@pytest.mark.parametrize(
    "words", ["ls {app} pair --runs", "ls pair", "list --limit 3", "ls . pair", "ls local"]
)
def test_forms_of_ls(
    here: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    folder = write_app(tmp_path / "tiny")
    monkeypatch.chdir(folder)
    ended = here(*words.replace("{app}", str(folder)).split())
    assert ended.exit_code == 0, ended.output
    assert "There are no runs yet." in ended.stdout


@pytest.mark.parametrize("words", ["log 5 . pair", "log 5 pair --show", "log 5"])
def test_forms_of_log(
    here: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str
) -> None:
    monkeypatch.chdir(write_app(tmp_path / "tiny"))
    ended = here(*words.split())
    assert ended.exit_code == 1
    assert "5" in ended.stderr.splitlines()[0]
    assert "run" in ended.stderr


@pytest.mark.parametrize("words", ["ls", "log 5", "stop 5", "login", "pull 5"])
def test_a_federation_config_where_it_means_nothing(
    here: Callable[..., Result], words: str
) -> None:
    ended = here(*words.split(), "--federation-config", "a=1")
    assert ended.exit_code == (0 if words == "ls" else 1)
    assert ended.stderr.startswith("Warning: --federation-config has no effect here")
    assert "federation-config" not in here(words.split(maxsplit=1)[0], "--help").stdout


# -- flower-simulation


def simulate(flwr: Flwr, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "flwr.cli.flower_simulation", *map(str, arguments)],
        cwd=flwr.work,
        env=flwr.environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_flower_simulation_runs_an_app(flwr: Flwr, app: Callable[..., Path]) -> None:
    config = {"client_resources": {"num_cpus": 1, "num_gpus": 0.0}, "init_args": {"num_cpus": 2}}
    ended = simulate(
        flwr, "--app", app(then="import os; print('tf', os.environ['TF_FORCE_GPU_ALLOW_GROWTH'])"),
        "--num-supernodes", "3", "--run-config", "num-server-rounds=1", "--backend", "ray",
        "--backend-config", json.dumps(config), "--enable-tf-gpu-growth", "--verbose",
        "--flwr-dir", "x", "--run-id", "5",
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "in place (flower-simulation): 3 nodes" in ended.stdout
    assert "tf true" in ended.stdout
    for option in ("--flwr-dir", "--run-id"):
        assert f"{option} has no effect" in ended.stderr
    assert flwr.status() == "finished:completed"


def test_flower_simulation_ends_as_flwr_run_does(flwr: Flwr, app: Callable[..., Path]) -> None:
    ended = simulate(flwr, "--app", app(then="raise ValueError('lost')"), "--num-supernodes=2")
    assert ended.returncode == 1
    assert "lost" in ended.stderr
    assert flwr.status() == "finished:failed"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--num-supernodes", "2"], 2, "--app"),
        (["--app", "."], 2, "--num-supernodes"),
        (["--app", ".", "--num-supernodes", "0"], 2, "1 or more, not '0'"),
        (["--app", "nowhere", "--num-supernodes", "2"], 1, "There is no pyproject.toml"),
        (["--app", "tiny", "--num-supernodes", "2", "--backend", "x"], 1, "no backend 'x'"),
        (["--app", "tiny", "--num-supernodes", "2", "--backend-config", "{"], 1, "is not JSON"),
        (["--app", "tiny", "--num-supernodes", "2", "--backend-config", "[]"], 1, "JSON object"),
        (
            ["--app", "tiny", "--num-supernodes", "2", "--backend-config", '{"client": 1}'],
            1,
            "'backend.client': unknown option",
        ),
        (["--app", "tiny", "--num-supernodes", "2", "--run-config", "a=1"], 1, "Unknown key"),
        (
            ["--app", "tiny", "--num-supernodes", "2", "--run-config", "a=1", "--backend", "x"],
            1,
            "cannot be used:\n- Unknown key",
        ),
    ],
)
def test_bad_options_of_flower_simulation(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    said: str,
) -> None:
    from flwr.cli.flower_simulation import run

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    write_app(tmp_path / "tiny")
    with pytest.raises(SystemExit) as ended:
        run(arguments)
    assert ended.value.code == code
    assert said in capsys.readouterr().err
