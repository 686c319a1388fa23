"""Nothing is reported to anybody, whatever the switches say; the log level; shell completion."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_apps import COMMAND, PROJECT, Flwr, write_app

WATCH = """
import os, socket, sys

def refuse(event, arguments):
    if event not in ("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo"):
        return
    if event == "socket.getaddrinfo" or arguments[0].family != socket.AF_UNIX:
        with open(os.environ["SEEN"], "a") as seen:
            print(event, arguments[1:], file=seen)
        raise PermissionError(f"{event} {arguments}")

sys.addaudithook(refuse)
"""
SWITCHES = {
    "FLWR_TELEMETRY_ENABLED": "1",
    "FLWR_TELEMETRY_LOGGING": "1",
    "FLWR_TELEMETRY_PARTNER_ID": "6f2b1a52-3c1c-4d3e-9e51-1c5bb2b7a6f0",
    "FLWR_DISABLE_UPDATE_CHECK": "0",
}


@pytest.mark.parametrize("switches", [{}, SWITCHES], ids=["default", "all on"])
def test_commands_in_place_open_no_network_and_leave_no_other_files(
    flwr: Flwr, app: Callable[..., Path], tmp_path: Path, switches: dict[str, str]
) -> None:
    patch, seen = tmp_path / "patch", tmp_path / "seen"
    patch.mkdir()
    (patch / "sitecustomize.py").write_text(WATCH)
    watched = {"PYTHONPATH": str(patch), "SEEN": str(seen), **switches}
    app()
    steps = "flwr --version; flwr --help; flwr run tiny-app && flwr ls"
    ended = flwr.in_shell(steps, **watched, HOME=str(tmp_path / "user"))
    assert ended.code == 0, ended.err
    assert "finished:completed" in ended.out
    assert not seen.exists(), seen.read_text()
    assert [file.name for file in flwr.home.iterdir()] == ["wildflower"]
    assert {file.name for file in (flwr.home / "wildflower").iterdir()} <= {
        "runs.db", "runs.db-wal", "runs.db-shm", "runs"
    }  # fmt: skip
    assert not (tmp_path / "user").exists()
    assert "telemetry" not in (ended.out + ended.err).lower()


def test_the_watch_sees_a_connection(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(WATCH)
    seen = tmp_path / "seen"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "SEEN": str(seen)}
    connect = "import socket; socket.create_connection(('127.0.0.1', 9))"
    done = subprocess.run(
        [COMMAND.with_name("python"), "-c", connect],
        env=environment, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "socket." in seen.read_text()


def test_the_log_level_and_that_apps_have_their_garbage_collected(
    flwr: Flwr, app: Callable[..., Path]
) -> None:
    app(
        then="import gc; assert gc.isenabled(); from flwr.log import log; "
        "[log(level, f'at {level}') for level in (10, 20, 30, 40)]"
    )

    def shown(level: str) -> list[int]:
        ended = flwr.in_shell("flwr run tiny-app", FLWR_LOG_LEVEL=level)
        assert ended.code == 0, ended.err
        return [each for each in (10, 20, 30, 40) if f"at {each}" in ended.err]

    assert shown("debug") == [10, 20, 30, 40]
    assert shown("ERROR") == [40]


def complete(flwr: Flwr, line: str, shell: str = "bash") -> list[str]:
    """Return what a shell would offer for the last word of a command line."""
    words = line.split(" ")
    variables = {
        "bash": {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)},
        "zsh": {"_TYPER_COMPLETE_ARGS": line},
        "fish": {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
    }[shell]
    done = flwr.in_shell("flwr", _FLWR_COMPLETE=f"complete_{shell}", **variables)
    assert done.code == 0, done.err
    assert done.err == ""
    return done.out.split("\n")[:-1]


@pytest.fixture
def known(flwr: Flwr) -> Flwr:
    """Return the command where there are an app, a connection and two runs."""
    write_app(flwr.work / "my-app", project=PROJECT)
    flwr.home.mkdir()
    (flwr.home / "config.toml").write_text("[superlink.my-hub]\naddress = 'h.example:9093'\n")
    for run_id in ("101", "102", "205"):
        (flwr.home / "wildflower" / "runs" / run_id).mkdir(parents=True)
    return flwr


def test_completion(known: Flwr) -> None:
    assert complete(known, "flwr ru") == ["run"]
    assert complete(known, "flwr ls --run") == ["--runs", "--run-id"]
    assert complete(known, "flwr run my") == ["my-app", "my-hub"]
    assert complete(known, "flwr run my-app m") == ["my-hub"]
    assert set(complete(known, "flwr ls ")) == {"my-app", "my-hub", "local"}
    assert set(complete(known, "flwr log 10")) == {"101", "102"}
    assert complete(known, "flwr ls --run-id 2") == ["205"]
    assert complete(known, "flwr new x --framework py") == ["pytorch"]
    assert complete(known, "flwr new x --framework Py") == ["PyTorch"]
    assert complete(known, "flwr ls --format j") == ["json"]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_completion_in_other_shells(known: Flwr, shell: str) -> None:
    assert "my-hub" in "\n".join(complete(known, "flwr ls my", shell))
    assert "205" in "\n".join(complete(known, "flwr log 2", shell))
    assert "supernode" in "\n".join(complete(known, "flwr s", shell))


def test_completion_survives_broken_files(known: Flwr) -> None:
    (known.home / "config.toml").write_text("[superlink\n")
    (known.work / "pyproject.toml").write_text("[tool\n")
    assert complete(known, "flwr ls my") == ["my-app"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_shown_and_installed(flwr: Flwr, tmp_path: Path, shell: str) -> None:
    user = tmp_path / "user"
    user.mkdir()
    variables = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1", "HOME": str(user)}
    shown = flwr.in_shell(f"flwr --show-completion {shell}", **variables)
    assert shown.code == 0, shown.err
    assert "_FLWR_COMPLETE=complete_" + shell in shown.out
    installed = flwr.in_shell(f"flwr --install-completion {shell}", **variables)
    assert installed.code == 0, installed.err
    written = [file.read_text() for file in user.rglob("*") if file.is_file()]
    assert any("_FLWR_COMPLETE=complete_" + shell in text for text in written)


def test_a_real_bash_completes(known: Flwr) -> None:
    script = (
        'eval "$(flwr --show-completion)"; COMP_WORDS=(flwr log 20); COMP_CWORD=2; '
        '_flwr_completion flwr; echo "${COMPREPLY[@]}"; true'
    )
    path = f"{COMMAND.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        env={**known.environment, "PATH": path}, cwd=known.work,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "205", done.stderr
