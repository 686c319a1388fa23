"""What is printed when a run has ended: a table of its rounds, a chart, and where things are."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from flwr.cli.history import History, Metric, Round, finite, metric_label
from flwr.cli.output import console
from flwr.cli.progress import number_text

if TYPE_CHECKING:
    from rich.table import Table

_FIRST, _LAST = 3, 9  # rounds shown of a long run


def print_summary(history: History, artifacts: Path | None, log: str, title: str) -> None:
    """Print table and chart to stdout, write ``metrics.svg``, say where everything is.

    Parameters
    ----------
    history : History
        What the run told.
    artifacts : Path or None
        The run's artifacts folder; None if it is on another machine.
    log : str
        Where the run's log is, or how to see it.
    title : str
        Of the chart.
    """
    if history.finished_rounds:
        _print_rounds(history, artifacts, title)
    if history.finished_rounds or (history.exchanges and not history.rounds):
        sys.stdout.write(f"\n{totals_text(history)}\n")
    if artifacts is not None:
        sys.stdout.write(f"Artifacts: {artifacts}\n")
    sys.stdout.write(f"Log:       {log}\n")
    sys.stdout.flush()


def _print_rounds(history: History, artifacts: Path | None, title: str) -> None:
    series = history.series()
    out = console()
    out.print(_round_table(history, list(series), out.width))
    if drawn := finite(series):
        from flwr.cli.chart import svg_chart, terminal_chart

        if any(len(points) > 1 for points in drawn.values()):
            colour = out.is_terminal and not out.no_color
            out.print(terminal_chart(drawn, out.width, colour=colour))
        if artifacts is not None:
            svg_chart(drawn, artifacts / "metrics.svg", title)


def totals_text(history: History) -> str:
    """Return how many rounds and failures there were, and how long a round took."""
    finished = history.finished_rounds
    parts = []
    if finished:
        seconds = sum(each.seconds or 0.0 for each in finished)
        parts.append(f"{_counted(len(finished), 'round')} in {seconds:.2f} s")
        parts.append(f"{seconds / len(finished):.3f} s a round")
    else:
        parts.append(_counted(history.exchanges, "exchange") + " of messages")
    parts.append(_counted(history.failures, "failure"))
    if history.first_failure is not None:
        node, error = history.first_failure
        parts.append(f"the first at node {node}: {error.splitlines()[0]}")
    return ", ".join(parts)


def _counted(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _round_table(history: History, columns: list[Metric], width: int) -> "Table":
    """Return the table of rounds; the most telling metrics, as many as fit."""
    from rich import box
    from rich.table import Table

    fitting = columns[: max(1, (width - 28) // 20)]
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("Round", "Time", *map(metric_label, fitting), "Failed"):
        table.add_column(heading, justify="right", no_wrap=heading in ("Round", "Time"))
    rounds = history.rounds
    if len(rounds) > _FIRST + _LAST + 1:
        for each in rounds[:_FIRST]:
            table.add_row(*_cells(each, fitting))
        table.add_row(*["…"] * (len(fitting) + 3))
        rounds = rounds[-_LAST:]
    for each in rounds:
        table.add_row(*_cells(each, fitting))
    return table


def _cells(each: Round, columns: list[Metric]) -> list[str]:
    time = "" if each.seconds is None else f"{each.seconds:.2f} s"
    values = []
    for source, name in columns:
        value = each.metrics.get(source, {}).get(name)
        values.append("" if value is None else number_text(value))
    return [str(each.number), time, *values, str(each.failures or "")]
