"""What commands print: errors with their exit codes, JSON, tables, times."""

import contextlib
import json
import os
import re
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from flwr.cli.interrupts import exit_status
from flwr.cli.streams import let_go
from flwr.errors import ConfigError, FlwrError, LinkError

if TYPE_CHECKING:
    from rich.console import Console

_SAME = {"unknown-run": "run-not-found", "unknown-node": "node-not-found"}  # told here and there
_json_descriptor = -1  # where stdout went before programs' output was sent to stderr
_WIDE = 1000  # columns of a pipe or a file: nothing is cut there


class OutputFormat(StrEnum):
    """What ``--format`` takes."""

    DEFAULT = "default"
    JSON = "json"


FormatOption = Annotated[
    OutputFormat,
    typer.Option("--format", case_sensitive=False, help="Text for people, or JSON for programs."),
]


@contextlib.contextmanager
def reporting(output_format: OutputFormat) -> Iterator[dict[str, Any]]:
    """Run the body of a command and report how it ended.

    Yields a dictionary for what the command has to say as JSON. With ``--format json`` it is
    printed at the end, with ``success`` and, after an error, ``error-message`` and
    ``error: {code, message}``; the error's panel goes to stderr in any case. Whatever else this
    process and its children print goes to stderr, too.

    Raises
    ------
    typer.Exit
        With the error's exit code, 130 after Ctrl-C, 143 after SIGTERM.
    """
    as_json = output_format is OutputFormat.JSON
    if as_json:
        _keep_stdout()
    result: dict[str, Any] = {}
    try:
        _check_current_folder()
        yield result
    except FlwrError as error:
        print_error(error)
        code, message, status = error_code(error), str(error), error.exit_code
    except (KeyboardInterrupt, typer.Abort) as end:
        interrupt = _interrupt_behind(end)
        message = str(interrupt) or "Interrupted."
        sys.stderr.write(f"\n{message}\n")
        code, status = "interrupted", exit_status(interrupt)
    except typer.Exit:
        raise
    except Exception as fault:
        # The entry point tells wrong usage; the rest is our fault, and Python prints its traceback.
        if as_json and not hasattr(fault, "format_message"):
            print_failure("unexpected", f"{type(fault).__name__}: {fault}", result)
        raise
    else:
        if as_json:
            print_json({"success": True, **result})
        return
    if as_json:
        print_failure(code, message, result)
    raise typer.Exit(status)


def _check_current_folder() -> None:
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise ConfigError(
            "The current folder is gone", hint="Change to one that is there: cd"
        ) from error


def _interrupt_behind(end: KeyboardInterrupt | typer.Abort) -> KeyboardInterrupt:
    """Return the interrupt: a question that is answered by Ctrl-C raises ``Abort`` instead."""
    if isinstance(end, KeyboardInterrupt):
        return end
    if isinstance(end.__context__, KeyboardInterrupt):
        return end.__context__
    raise end


def print_failure(code: str, message: str, result: dict[str, Any] | None = None) -> None:
    """Print a failure as JSON, with what there is of a result."""
    failure = {"error-message": message, "error": {"code": code, "message": message}}
    print_json({"success": False, **(result or {}), **failure})


def _keep_stdout() -> None:
    """Keep stdout for JSON: what others print to its descriptor goes to stderr from now on."""
    global _json_descriptor
    real = sys.__stdout__
    if _json_descriptor < 0 and real is not None and sys.stdout is real:
        real.flush()
        _json_descriptor = os.dup(real.fileno())
        os.dup2(sys.stderr.fileno(), real.fileno())


def error_code(error: FlwrError) -> str:
    """Return the stable name of a kind of error, such as ``run-not-found``."""
    if isinstance(error, LinkError) and error.code:
        return _SAME.get(error.code, error.code)
    name = type(error).__name__.removesuffix("Error")
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()


def print_json(value: dict[str, Any]) -> None:
    """Print a JSON object to stdout, in ASCII: whatever the encoding, nothing is lost."""
    text = json.dumps(value, indent=2) + "\n"
    if _json_descriptor < 0:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    rest = memoryview(text.encode("ascii"))
    try:
        while rest:
            rest = rest[os.write(_json_descriptor, rest) :]
    except OSError as error:  # its reader is gone, or its disk full
        let_go(sys.stdout, error)


def print_error(error: FlwrError) -> None:
    """Print an error to stderr: in a panel on a terminal, as plain lines elsewhere."""
    if not sys.stderr.isatty():
        sys.stderr.write(f"Error: {error}\n")
        return
    from rich.panel import Panel
    from rich.text import Text

    text = Text(error.message)
    if error.hint:
        text.append(f"\n{error.hint}", style="dim")
    console(sys.stderr).print(Panel(text, title="Error", title_align="left", border_style="red"))


def console(stream: TextIO | None = None) -> "Console":
    """Return a rich console on a stream (stdout by default) that cuts nothing off a pipe."""
    from rich.console import Console

    stream = stream or sys.stdout
    piped = not stream.isatty() and "COLUMNS" not in os.environ
    return Console(file=stream, width=_WIDE if piped else None, highlight=False, emoji=False)


def duration_text(seconds: float) -> str:
    """Return seconds as people say them: ``42s``, ``3m 43s``, ``2h 5m``, ``1d 3h``."""
    whole = int(seconds)
    if whole < 90:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60}m"
    return f"{whole // 86400}d {whole % 86400 // 3600}h"


def bytes_text(number: int) -> str:
    """Return a number of bytes as people say it: ``812 B``, ``1.5 MB``."""
    size = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def time_text(iso: str | None) -> str:
    """Return an ISO time as ``YYYY-MM-DD HH:MM:SSZ``; ``N/A`` if there is none."""
    return f"{iso[:10]} {iso[11:19]}Z" if iso else "N/A"
