"""Ctrl-C and SIGTERM end a run with a record, however many come and whenever."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_apps import COMMAND, Flwr, group

EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


def hammer(process: "subprocess.Popen[str]", number: signal.Signals, times: int) -> None:
    """Send a signal every 10 ms, at most so often, until the process ends."""
    end = os.pidfd_open(process.pid)
    for _ in range(times):
        process.send_signal(number)
        if select.select([end], [], [], 0.01)[0]:
            break
    os.close(end)


def assert_stopped(flwr: Flwr, process: "subprocess.Popen[str]", code: int = 130) -> str:
    out, _ = process.communicate(timeout=60)
    assert process.returncode == code, out
    assert flwr.status() == "finished:stopped"
    assert "Traceback" not in out
    assert "Exception ignored" not in out
    assert out.rstrip().endswith("is finished:stopped.")
    return out


@pytest.mark.parametrize("times", [1, 2, 3, 20, 1000])
def test_any_number_of_interrupts(flwr: Flwr, waiting: "subprocess.Popen[str]", times: int) -> None:
    hammer(waiting, signal.SIGINT, times)
    out = assert_stopped(flwr, waiting)
    assert "Artifacts: " in out
    assert "Interrupted after 2 of 2 rounds" in out


@pytest.mark.parametrize("number", EXIT_CODES)
@pytest.mark.parametrize("to_group", [False, True])
def test_signals_end_a_run_and_its_workers(
    flwr: Flwr, waiting: "subprocess.Popen[str]", number: signal.Signals, to_group: bool
) -> None:
    others = [process for process in group(waiting.pid) if process != waiting.pid]
    assert others
    ends = [os.pidfd_open(process) for process in others]
    (os.killpg if to_group else os.kill)(waiting.pid, number)
    assert_stopped(flwr, waiting, EXIT_CODES[number])
    for end in ends:
        assert select.select([end], [], [], 60)[0], "a worker outlived its run"
        os.close(end)
    details = flwr("ls", "--format", "json").out
    assert f"Interrupted by {'SIGTERM' if number == signal.SIGTERM else 'Ctrl-C'}" in details


@pytest.mark.parametrize("number", EXIT_CODES)
def test_signals_while_clients_train(
    flwr: Flwr, app: Callable[..., Path], number: signal.Signals
) -> None:
    running = flwr.start("run", app(first="import threading; threading.Event().wait()"))
    assert running.stdout
    for line in running.stdout:
        if "a client prints" in line:
            break
    hammer(running, number, 1000)
    assert "Interrupted after 0 of 2 rounds" in assert_stopped(flwr, running, EXIT_CODES[number])


CLEARING_UP = """
    try:
        {wait}
    except KeyboardInterrupt:
        {then}
"""


@pytest.mark.parametrize("then", ["raise RuntimeError('clumsy')", "import sys; sys.exit(0)"])
def test_an_app_that_ends_by_itself_when_interrupted_is_stopped(
    flwr: Flwr, waiting_in: Callable[[str], "subprocess.Popen[str]"], then: str
) -> None:
    process = waiting_in(CLEARING_UP.replace("{then}", then))
    process.send_signal(signal.SIGINT)
    assert_stopped(flwr, process)


def test_an_app_that_goes_on_when_interrupted_completes(
    flwr: Flwr, waiting_in: Callable[[str], "subprocess.Popen[str]"]
) -> None:
    process = waiting_in(CLEARING_UP.replace("{then}", "print('saved')"))
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    assert "saved" in out
    assert flwr.status() == "finished:completed"


@pytest.mark.parametrize("number", EXIT_CODES)
def test_an_interrupt_in_a_destructor_is_not_lost(
    flwr: Flwr, app: Callable[..., Path], number: signal.Signals
) -> None:
    """Python drops what a destructor raises."""
    destructor = (
        "import os, threading\n"
        "    class Gone:\n"
        f"        def __del__(self): os.kill(os.getpid(), {number.value})\n"
        "    Gone()\n"
        "    threading.Event().wait(20)"
    )
    ended = flwr("run", app(then=destructor))
    assert ended.code == EXIT_CODES[number], ended.out
    assert "Exception ignored" not in ended.err
    assert flwr.status() == "finished:stopped"


@pytest.mark.parametrize("number", EXIT_CODES)
def test_a_question_can_be_interrupted(flwr: Flwr, number: signal.Signals) -> None:
    ours, theirs = pty.openpty()
    asking = subprocess.Popen(
        [COMMAND, "new"], env=flwr.environment, cwd=flwr.work,
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while b"Name of the app" not in shown:
        shown += os.read(ours, 1 << 16)
    asking.send_signal(number)
    assert asking.wait(60) == EXIT_CODES[number]
    assert os.read(ours, 1 << 16).strip() == b"Interrupted."
    os.close(ours)


@pytest.mark.parametrize(("raised", "code"), [("KeyboardInterrupt", 130), ("Terminated", 143)])
def test_before_a_command_begins_an_interrupt_has_a_last_line_too(raised: str, code: int) -> None:
    program = (
        "import sys, typer\n"
        "from flwr.cli import commands, entry\n"
        "from flwr.cli.interrupts import Terminated\n"
        "commands.app = typer.Typer()\n"
        "@commands.app.command()\n"
        f"def early(format: str = typer.Option()): raise {raised}\n"
        "sys.argv[1:] = ['--format', 'json']\n"
        "entry.main()\n"
    )
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == code
    assert ended.stderr == "\nInterrupted.\n"
    assert json.loads(ended.stdout)["error"]["code"] == "interrupted"


def test_an_ignored_interrupt_stays_ignored(flwr: Flwr, app: Callable[..., Path]) -> None:
    folder = app(then="import os, signal; os.kill(os.getpid(), signal.SIGINT)")
    assert flwr.in_shell(f"trap '' INT; flwr run {folder}").code == 0
    assert flwr("run", folder).code == 130


def test_children_of_an_app_keep_the_usual_handlers(flwr: Flwr, app: Callable[..., Path]) -> None:
    fork = (
        "import os, signal\n"
        "    if not (child := os.fork()): os.kill(os.getpid(), signal.SIGTERM); os._exit(7)\n"
        "    print('ended with', os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    assert "ended with -15" in flwr("run", app(then=fork)).out


AT_CLOSE = """
    import os, signal
    from {module} import {name} as Closed
    close = Closed.close
    def interrupted(self):
        os.kill(os.getpid(), signal.{number})
        close(self)
    Closed.close = interrupted
    {then}
"""
STORE, ZYGOTE = ("flwr.store", "Store"), ("flwr.runtime.launch", "ZygoteHandle")
POOL = ("flwr.runtime.pool", "WorkerPool")


@pytest.mark.parametrize("number", EXIT_CODES)
@pytest.mark.parametrize(
    ("closed", "then", "status"),
    [
        (STORE, "pass", "completed"),
        (STORE, "raise KeyboardInterrupt", "stopped"),
        (STORE, "raise ValueError('lost')", "failed"),
        (POOL, "pass", "stopped"),
        (ZYGOTE, "raise KeyboardInterrupt", "stopped"),
    ],
)
def test_signals_while_things_close(
    flwr: Flwr,
    app: Callable[..., Path],
    number: signal.Signals,
    closed: tuple[str, str],
    then: str,
    status: str,
) -> None:
    parts = {"module": closed[0], "name": closed[1], "number": number.name, "then": then}
    ended = flwr("run", app(then=AT_CLOSE.format(**parts).strip()))
    codes = {"completed": {0}, "failed": {1}, "stopped": {130, EXIT_CODES[number]}}
    assert ended.code in codes[status]
    assert "Artifacts: " in ended.out
    for text in ("Traceback", "Exception ignored"):
        assert text not in ended.err
    assert flwr.status() == f"finished:{status}"


def test_signals_while_clients_run_in_this_process(flwr: Flwr, app: Callable[..., Path]) -> None:
    folder = app(first="import os, signal; os.kill(os.getpid(), signal.SIGTERM)")
    ended = flwr("run", folder, "--debug")
    assert ended.code == 143
    assert "Traceback" not in ended.err
    assert flwr.status() == "finished:stopped"
