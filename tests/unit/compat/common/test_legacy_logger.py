"""`flwr.common.logger`: where what is printed and logged goes."""

import io
import json
import logging
import sys
from queue import Queue

import pytest

from flwr.common.logger import (
    LOGGER_NAME,
    ConsoleHandler,
    mirror_output_to_queue,
    print_json_error,
    redirect_output,
    restore_output,
    set_logger_propagation,
)


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord(LOGGER_NAME, logging.INFO, "file.py", 1, text, None, None)


def given_streams(monkeypatch: pytest.MonkeyPatch) -> tuple[io.StringIO, io.StringIO]:
    """Streams in place of those that the process was given; pytest has its own until the test."""
    out, err = io.StringIO(), io.StringIO()
    for name, stream in (("stdout", out), ("stderr", err)):
        monkeypatch.setattr(sys, name, stream)
        monkeypatch.setattr(sys, f"__{name}__", stream)
    return out, err


def test_a_console_handler_can_write_json() -> None:
    stream = io.StringIO()
    ConsoleHandler(json=True, stream=stream).emit(record("two\nlines"))
    line = json.loads(stream.getvalue())
    assert (line["lvl"], line["msg"]) == ("INFO", "two\nlines")
    assert line["time"]


def test_its_arguments_have_the_documented_places() -> None:
    stream = io.StringIO()
    ConsoleHandler(False, False, True, stream).emit(record("text"))
    assert stream.getvalue() == "\x1b[92mINFO\x1b[0m :      text\n"


def test_output_is_mirrored_until_it_is_restored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    streams = given_streams(monkeypatch)
    queue: Queue[str | None] = Queue()
    mirror_output_to_queue(queue)
    sys.stdout.write("printed\n")
    sys.stderr.writelines(["a", "b"])
    assert not sys.stdout.isatty()
    restore_output()
    sys.stdout.write("more\n")
    assert [queue.get_nowait() for _ in range(queue.qsize())] == ["printed\n", "a", "b"]
    assert [stream.getvalue() for stream in streams] == ["printed\nmore\n", "ab"]


def test_output_is_redirected_until_it_is_restored(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    streams = given_streams(monkeypatch)
    buffer = io.StringIO()
    redirect_output(buffer)
    sys.stdout.write("printed\n")
    ConsoleHandler().emit(record("logged"))
    restore_output()
    assert buffer.getvalue() == "printed\nINFO :      logged\n"
    assert [stream.getvalue() for stream in streams] == ["", ""]


def test_a_json_error_is_what_commands_print(capsys: pytest.CaptureFixture[str]) -> None:
    print_json_error("It did not work.", ValueError("3 is odd"))
    printed = json.loads(capsys.readouterr().out)
    assert printed == {"success": False, "error-message": "It did not work.\n3 is odd"}


def test_propagation_is_set() -> None:
    child = logging.getLogger("flwr.test-of-propagation")
    assert set_logger_propagation(child, value=False) is child
    assert not child.propagate
    assert set_logger_propagation(child).propagate
