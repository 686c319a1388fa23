"""A run does not depend on who reads what it prints, or in which encoding."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_apps import Flwr

BUFFERED = pytest.mark.parametrize("unbuffered", ["", "1"])


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams(flwr: Flwr, app: Callable[..., Path], closed: str) -> None:
    ended = flwr.in_shell(f"flwr run {app()} {closed}")
    assert ended.code == 0, ended.err
    assert "Traceback" not in ended.err + ended.out
    assert ("a client prints" in ended.out) == (">&-" not in closed.split())
    assert ("Round 2/2" in ended.err) == ("2>&-" not in closed)
    assert flwr.status() == "finished:completed"
    (log,) = flwr.home.glob("wildflower/runs/*/log.txt")
    assert log.read_text().count("a client prints") == 4


@BUFFERED
def test_lines_of_the_server_and_of_clients_stay_whole(
    flwr: Flwr, app: Callable[..., Path], unbuffered: str
) -> None:
    loop = "for number in range(1000): print('line', number, 'of', '{who}', 'end')"
    folder = app(then=loop.replace("{who}", "server"), first=loop.replace("{who}", "client"))
    ended = flwr.in_shell(f"flwr run {folder}", PYTHONUNBUFFERED=unbuffered)
    assert ended.code == 0, ended.err
    (log,) = flwr.home.glob("wildflower/runs/*/log.txt")
    for printed in (ended.out, log.read_text()):
        lines = [line for line in printed.splitlines() if "line " in line]
        assert len(lines) == 5000
        assert [x for x in lines if not re.fullmatch(r"line \d+ of (server|client) end", x)] == []


@pytest.mark.parametrize("command", ["--version", "ls", "--help", "frobnicate"])
def test_closed_streams_of_other_commands(flwr: Flwr, command: str) -> None:
    expected = 2 if command == "frobnicate" else 0
    assert flwr.in_shell(f"flwr {command} >&-").code == expected
    assert flwr.in_shell(f"flwr {command} 2>&-").code == expected


def test_an_encoding_that_lacks_characters(flwr: Flwr, app: Callable[..., Path]) -> None:
    folder = app(then="print('déjà vu')")
    ended = flwr.in_shell(f"flwr run {folder}", PYTHONIOENCODING="ascii")
    assert ended.code == 0, ended.err
    assert "d?j? vu" in ended.out
    assert "Artifacts: " in ended.out
    assert flwr.status() == "finished:completed"
    (log,) = flwr.home.glob("wildflower/runs/*/log.txt")
    assert "déjà vu" in log.read_text()


def test_json_keeps_what_the_encoding_lacks(flwr: Flwr, app: Callable[..., Path]) -> None:
    folder = app(then="raise ValueError('déjà vu')")
    ended = flwr.in_shell(f"flwr run {folder} --format json", PYTHONIOENCODING="ascii")
    assert ended.code == 1
    assert "déjà vu" in json.loads(ended.out)["error"]["message"]


@BUFFERED
@pytest.mark.parametrize("options", ["", "--format json"])
def test_a_full_disk_under_stdout(
    flwr: Flwr, app: Callable[..., Path], options: str, unbuffered: str
) -> None:
    ended = flwr.in_shell(f"flwr run {app()} {options} > /dev/full", PYTHONUNBUFFERED=unbuffered)
    assert ended.code == 1
    last_line = ended.err.splitlines()[-1]
    assert last_line == "Error: not all could be printed: No space left on device"
    assert "Traceback" not in ended.err
    assert flwr.status() == "finished:completed"
    (log,) = flwr.home.glob("wildflower/runs/*/log.txt")
    assert "Artifacts: " in log.read_text()


@BUFFERED
def test_a_full_disk_under_stderr(flwr: Flwr, app: Callable[..., Path], unbuffered: str) -> None:
    ended = flwr.in_shell(f"flwr run {app()} 2> /dev/full", PYTHONUNBUFFERED=unbuffered)
    assert ended.code == 1
    assert "Artifacts: " in ended.out
    assert flwr.status() == "finished:completed"


@BUFFERED
@pytest.mark.parametrize("command", ["--version", "ls", "--help"])
def test_a_full_disk_under_other_commands(flwr: Flwr, command: str, unbuffered: str) -> None:
    ended = flwr.in_shell(f"flwr {command} > /dev/full", PYTHONUNBUFFERED=unbuffered)
    assert ended.code == 1
    assert ended.err == "Error: not all could be printed: No space left on device\n"


def test_a_reader_that_is_gone(flwr: Flwr, app: Callable[..., Path]) -> None:
    ended = flwr.in_shell(f"{{ flwr run {app()}; echo $? >&2; }} | head -n 1")
    assert re.match(r"Successfully started run \d+", ended.out)
    assert ended.err.splitlines()[-2:] == ["Error: not all could be printed: Broken pipe", "1"]
    assert flwr.status() == "finished:completed"


def test_a_reader_of_json_that_is_gone(flwr: Flwr) -> None:
    ended = flwr.in_shell("{ flwr ls --format json; echo $? >&2; } | true")
    assert ended.err.splitlines() == ["Error: not all could be printed: Broken pipe", "1"]


def test_a_summary_that_cannot_be_made(flwr: Flwr, app: Callable[..., Path]) -> None:
    folder = app(then="from flwr.serverapp import artifacts_dir; "
                      "(artifacts_dir() / 'metrics.svg').mkdir()")  # fmt: skip
    ended = flwr("run", folder)
    assert ended.code == 0
    assert "WARNING :   The summary could not be made" in ended.err
    assert "Traceback" not in ended.err
    assert flwr.status() == "finished:completed"
