"""The course of a run, live on stderr: a bar on a terminal, a line a round elsewhere."""

import sys
from typing import TextIO

from flwr.app.events import Event, RoundFinished, RoundStarted
from flwr.cli.history import History, Round
from flwr.cli.output import console


def round_text(each: Round, history: History) -> str:
    """Return a round's time, metrics and failures in one line."""
    of = f"/{history.planned}" if history.planned else ""
    parts = [f"Round {each.number}{of}", f"{each.seconds or 0.0:.2f} s"]
    parts += [f"{name} {number_text(value)}" for name, value in each.headline().items()]
    if each.failures:
        parts.append(f"{each.failures} of {each.replies + each.failures} failed")
    return " · ".join(parts)


def number_text(value: float) -> str:
    """Return a metric in at most four significant digits."""
    return f"{value:.4g}"


class LineProgress:
    """One plain line on ``sys.stderr`` after each round."""

    def __init__(self, history: History) -> None:
        self._history = history

    def show(self, event: Event) -> None:
        """Print a line if a round has ended."""
        if isinstance(event, RoundFinished):
            sys.stderr.write(round_text(self._history.rounds[-1], self._history) + "\n")

    def close(self) -> None:
        """Do nothing: lines stay where they are."""


class BarProgress:
    """A bar of rounds at the bottom of the terminal; what is printed meanwhile scrolls above it.

    Parameters
    ----------
    history : History
        What there is to show.
    stream : TextIO
        The terminal.
    """

    def __init__(self, history: History, stream: TextIO) -> None:
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

        self._history = history
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            console=console(stream),
            # Prints to a redirected stdout belong into its file, not onto the terminal.
            redirect_stdout=sys.stdout.isatty(),
            transient=True,
        )
        self._task = self._progress.add_task("Starting", total=None, status="")
        self._progress.start()

    def show(self, event: Event) -> None:
        """Move the bar."""
        if isinstance(event, RoundStarted):
            self._progress.update(self._task, total=event.of, description=f"Round {event.round}")
        elif isinstance(event, RoundFinished):
            last = self._history.rounds[-1]
            self._progress.update(
                self._task, completed=event.round, status=round_text(last, self._history)
            )

    def close(self) -> None:
        """Take the bar away."""
        self._progress.stop()


def progress(history: History, *, debug: bool) -> "LineProgress | BarProgress":
    """Return what suits stderr; never a bar in `debug`, where a debugger needs the terminal."""
    if sys.stderr.isatty() and not debug:
        return BarProgress(history, sys.stderr)
    return LineProgress(history)
