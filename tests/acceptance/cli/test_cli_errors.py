"""What Flower's users trip over: each row of the list of errors, by message, status and JSON.

The rows that need a SuperLink are in ``tests/acceptance/deployment/test_deployment_json.py``.
"""

import contextlib
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from cli_apps import COMMAND, NODES, PROJECT, Flwr, write_app
from schemas import checked


@dataclass(frozen=True)
class Row:
    """A command that fails, typed in a folder with an app, and how it does."""

    number: str
    words: str  # of the command
    arguments: tuple[str, ...]
    code: str  # in JSON
    expected: tuple[str, ...]  # in the message
    then: str = "pass"  # in the app
    status: int = 1


NOBODY = "127.0.0.1:1"
CONNECTIONS = f"""
[superlink.nobody]
address = "{NOBODY}"
insecure = true
"""
ROWS = [
    Row("10.2-option", "run", ("run", "--nope"), "usage", ("No such option",), status=2),
    Row("10.2-argument", "log", ("log",), "usage", ("Missing argument",), status=2),
    Row("10.3-app", "run", ("run", "elsewhere/"), "config", ("There is no pyproject.toml in",)),
    Row(
        "10.3-connection", "list", ("ls", "nobdy"), "config",
        ("no connection or federation 'nobdy'", "did you mean 'nobody'?"),
    ),
    Row(
        "10.3-and-12.11-refused", "list", ("ls", "nobody"), "connection-refused",
        (NOBODY, "'nobody'"),
    ),
    Row("10.3-no-run", "list", ("ls", "--run-id", "42"), "run-not-found", ("42",)),
    Row("10.3-no-log", "log", ("log", "42"), "run-not-found", ("42",)),
    Row("10.6-in-place", "stop", ("stop", "42", "local"), "config", ("in place", "Ctrl-C")),
    Row(
        "10.7", "run", ("run", "tiny-app"), "run-failed",
        ("ValueError: all is lost", "server_app.py"), then="raise ValueError('all is lost')",
    ),
    Row(
        "12.6", "run", ("run", "tiny-app"), "run-failed",
        ("invalid literal for int() with base 10: 'three'",), then="int('three')",
    ),
    Row(
        "12.7-quotes", "run", ("run", "tiny-app", "-c", "learning-rate=bob"), "run-config",
        ("'learning-rate=bob'", "'learning-rate=\"bob\"'"),
    ),
    Row(
        "12.7-unknown-key", "run", ("run", "tiny-app", "-c", "learning-rat=1"), "run-config",
        ("'learning-rat'", "did you mean 'learning-rate'?"),
    ),
    Row(
        "12.11-host", "list", ("ls", "typo"), "unknown-host", ("no-such-host.invalid",),
    ),
]  # fmt: skip


@pytest.fixture
def prepared(flwr: Flwr) -> Callable[[Row], Flwr]:
    """Return a function that makes the app of a row, and returns the command."""

    def prepare(row: Row) -> Flwr:
        write_app(flwr.work / "tiny-app", then=row.then)
        (flwr.work / "elsewhere").mkdir()
        flwr.home.mkdir()
        (flwr.home / "config.toml").write_text(
            CONNECTIONS + '[superlink.typo]\naddress = "no-such-host.invalid:1"\ninsecure = true\n'
        )
        return flwr

    return prepare


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.number)
def test_failures_are_told(prepared: Callable[[Row], Flwr], row: Row) -> None:
    ended = prepared(row)(*row.arguments, "--format", "json")
    assert ended.code == row.status
    told = checked(row.words, ended.out, success=False)
    assert told["error"]["code"] == row.code
    flat = " ".join(ended.err.replace("│", " ").split())
    for text in row.expected:
        assert text in " ".join(told["error"]["message"].split())
        assert text in flat
    for banner in ("Using SuperLink", "Loading", "Listing", "Successfully"):  # row 12.3
        assert banner not in told["error-message"]


@pytest.mark.parametrize("row", [row for row in ROWS if row.number in ("10.3-no-run", "10.7")])
def test_failures_have_the_same_status_without_json(
    prepared: Callable[[Row], Flwr], row: Row
) -> None:
    ended = prepared(row)(*row.arguments)
    assert ended.code == row.status
    assert all(text in ended.err and text not in ended.out for text in row.expected)


@pytest.mark.parametrize("form", [("tiny-app", "local-simulation"), ("tiny-app", "mine"), ()])
def test_rows_10_1_and_12_9_all_forms_work_and_no_file_of_the_app_changes(
    flwr: Flwr, app: Callable[..., Path], form: tuple[str, ...]
) -> None:
    folder = app(project=PROJECT + NODES.replace("pair", "local-simulation"))
    flwr.home.mkdir()
    (flwr.home / "config.toml").write_text("[superlink.mine]\naddress = ':local:'\n")
    before = {file: file.read_bytes() for file in flwr.work.rglob("*") if file.is_file()}
    cwd = folder if not form else None
    ended = flwr("run", *form, "--federation-config", "num-supernodes=2", cwd=cwd)
    assert ended.code == 0, ended.err
    assert flwr("ls", *form[:2], cwd=cwd).code == 0
    after = {file: file.read_bytes() for file in flwr.work.rglob("*") if file.is_file()}
    assert after == before


def test_rows_12_4_5_and_10_of_a_run_in_place(flwr: Flwr, app: Callable[..., Path]) -> None:
    ended = flwr("run", app())
    assert ended.code == 0
    assert "Round 2/2" in ended.err  # the training is seen
    home = str(flwr.home)
    left = [each for each in psutil.process_iter() if _home_of(each) == home]
    assert not left  # no server stays behind
    shown = flwr("ls", "--run-id", ended.out.split()[3]).out
    assert "2 of 2" in shown  # rounds
    assert "Nodes" in shown


def _home_of(process: psutil.Process) -> str:
    try:
        return str(process.environ().get("FLWR_HOME", ""))
    except psutil.Error:
        return ""


def test_row_12_5_a_port_of_someone_else_is_not_used(flwr: Flwr, app: Callable[..., Path]) -> None:
    with socket.socket() as taken:
        with contextlib.suppress(OSError):  # somebody may have it, which is as good
            taken.bind(("127.0.0.1", 39091))  # where Flower would look for a SuperLink of its own
        ended = flwr("run", app(), "-c", "num-server-rounds=1")
    assert ended.code == 0, ended.err


def test_row_12_7_blanks_around_the_sign(flwr: Flwr, app: Callable[..., Path]) -> None:
    folder = app(then="print('the rate is', context.run_config['learning-rate'])")
    assert "the rate is 0.5" in flwr("run", folder, "-c", "learning-rate = 0.5").out


HEAVY = ("numpy", "sqlalchemy", "alembic", "aiohttp", "msgspec", "ssl", "plotext", "pygal")


@pytest.mark.parametrize(
    ("arguments", "more"), [("--version", ("typer", "rich", "asyncio")), ("--help", ())]
)
def test_row_12_12_starting_loads_little(flwr: Flwr, arguments: str, more: tuple[str, ...]) -> None:
    code = (
        "import sys; from flwr.cli.entry import main\n"
        f"sys.argv = ['flwr', {arguments!r}]\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print('loaded:', sorted({{*{(*HEAVY, *more)!r}}} & set(sys.modules)))"
    )
    python = COMMAND.with_name("python")
    ended = flwr.in_shell(f'"{python}" -c "$CODE"', CODE=code)
    assert ended.out.splitlines()[-1] == "loaded: []", ended.err


def test_a_first_look_makes_no_database(flwr: Flwr) -> None:
    assert "There are no runs yet." in flwr("ls").out
    assert not list(flwr.home.rglob("*.db"))
    assert flwr("ls", "--run-id", "42").code == 1


def test_row_12_1_every_help_page_is_shown(flwr: Flwr) -> None:
    assert os.access(COMMAND, os.X_OK)
    assert "Usage: flwr" in flwr("-h").out
    for command in ("run", "ls", "log", "stop", "new"):
        assert f"Usage: flwr {command}" in flwr(command, "--help").out
