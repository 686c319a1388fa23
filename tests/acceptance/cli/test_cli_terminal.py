"""What commands look like on terminals of several widths, in pipes, and with colours or without."""

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_apps import COMMAND, Flwr

from flwr.store import NewRun, RunEvent, Store

COLOUR = re.compile(r"\x1b\[[0-9;]*\b(?:3[0-8]|4[0-8]|9[0-7])[0-9;]*m")
ESCAPE = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\]8;[^\x1b]*\x1b\\)")
RUN_IDS = [9_223_372_036_854_775_800 + index for index in range(3)]
STATES = ("finished:completed", "finished:failed", "finished:stopped")


def on_terminal(flwr: Flwr, width: int, *arguments: str | Path, **variables: str) -> str:
    """Run a command on a terminal of some width, and return all that came there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, width, 0, 0))
    process = subprocess.Popen(
        [COMMAND, *map(str, arguments)],
        cwd=flwr.work,
        env={**flwr.environment, "TERM": "xterm-256color", **variables},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the last process that has the terminal is gone
        while part := os.read(ours, 1 << 16):
            shown += part
    os.close(ours)
    process.wait(60)
    return shown.decode().replace("\r\n", "\n")


def plain(text: str) -> str:
    return ESCAPE.sub("", text)


@pytest.fixture
def history(flwr: Flwr) -> Flwr:
    """Return the command in a home where three runs have ended."""
    store = Store.open(flwr.home / "wildflower" / "runs.db")
    with contextlib.closing(store):
        for run_id, state in zip(RUN_IDS, STATES, strict=True):
            store.create_run(
                NewRun(
                    run_id=run_id,
                    fab_id="a-long-publisher/an-app-with-a-long-name",
                    fab_version="10.11.12",
                    fab_hash="",
                    federation="local-simulation",
                    app_dir="",
                    run_config={},
                    options={},
                )
            )
            store.move(run_id, RunEvent.START)
            store.move(run_id, RunEvent.RUN)
            event = {"c": RunEvent.COMPLETE, "f": RunEvent.FAIL, "s": RunEvent.STOP}[state[9]]
            store.move(run_id, event, "")
    return flwr


@pytest.mark.parametrize("width", [60, 80, 130])
def test_the_list_of_runs_fits(history: Flwr, width: int) -> None:
    shown = plain(on_terminal(history, width, "ls"))
    assert max(len(line) for line in shown.splitlines()) <= width
    for run_id, state in zip(RUN_IDS, STATES, strict=True):
        (line,) = [line for line in shown.splitlines() if str(run_id) in line]
        assert state in line
    assert ("Federation" in shown) == (width == 130)
    assert ("Elapsed" in shown) == (width >= 80)


@pytest.mark.parametrize("width", [30, 40])
def test_ids_and_states_are_whole_on_a_very_narrow_terminal(history: Flwr, width: int) -> None:
    shown = plain(on_terminal(history, width, "ls"))
    for run_id, state in zip(RUN_IDS, STATES, strict=True):
        assert f"{run_id}  {state}" in shown


@pytest.mark.parametrize("width", [60, 80])
def test_a_run_in_detail_fits(history: Flwr, width: int) -> None:
    shown = plain(on_terminal(history, width, "ls", "--run-id", str(RUN_IDS[0])))
    assert max(len(line) for line in shown.splitlines()) <= width
    assert str(RUN_IDS[0]) in shown
    assert "finished:completed" in shown


def test_nothing_is_cut_in_a_pipe(history: Flwr) -> None:
    shown = history("ls").out
    assert "\x1b" not in shown
    row = next(line for line in shown.splitlines() if str(RUN_IDS[1]) in line)
    for text in ("local-simulation", "an-app-with-a-long-name==10.11.12", "finished:failed"):
        assert text in row


def test_colours(history: Flwr) -> None:
    assert COLOUR.search(on_terminal(history, 80, "ls"))
    assert not COLOUR.search(on_terminal(history, 80, "ls", NO_COLOR="1"))
    assert "\x1b" not in on_terminal(history, 80, "ls", TERM="dumb")
    assert COLOUR.search(history.in_shell("flwr ls", FORCE_COLOR="1").out)
    assert not COLOUR.search(history.in_shell("flwr ls", FORCE_COLOR="1", NO_COLOR="1").out)


def test_an_error_on_a_terminal(history: Flwr) -> None:
    shown = on_terminal(history, 60, "log", "42")
    assert COLOUR.search(shown)
    assert max(map(len, plain(shown).splitlines())) <= 60
    assert not COLOUR.search(on_terminal(history, 60, "log", "42", NO_COLOR="1"))


def test_a_run_on_a_terminal_and_in_pipes(flwr: Flwr, app: Callable[..., Path]) -> None:
    folder = app(then="from flwr.log import log; log(30, 'careful')")
    shown = on_terminal(flwr, 80, "run", folder)
    assert COLOUR.search(shown)
    assert "careful" in shown
    bare = on_terminal(flwr, 80, "run", folder, NO_COLOR="1")
    assert not COLOUR.search(bare)
    piped = flwr("run", folder)
    assert "\x1b" not in piped.out + piped.err
    assert "Round 2/2" in piped.err  # progress
    assert "Round 2/2" not in piped.out
