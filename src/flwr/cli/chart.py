"""A run's metrics by round, drawn for the terminal and as SVG.

Metrics from 0 to 1 (accuracies) have the left axis, others (losses) the right one. The drawing
libraries are imported only here, and this module only after the last round.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from flwr.cli.history import Metric, Series, metric_label

if TYPE_CHECKING:
    from rich.text import Text

_COLOURS = ("green", "yellow", "cyan", "magenta", "blue", "red")
_LETTERS = "abcdef"
_MOST_LINES = 6
_HEIGHT = 14
_WIDTH = 76


def _is_share(metric: Metric, points: list[tuple[int, float]]) -> bool:
    return "loss" not in metric[1].lower() and all(0 <= value <= 1 for _, value in points)


def _axes(series: Series) -> dict[Metric, bool]:
    """Return for each metric whether it has the right axis; one axis will do if all are alike."""
    shares = {metric: _is_share(metric, points) for metric, points in series.items()}
    mixed = len(set(shares.values())) > 1
    return {metric: mixed and not share for metric, share in shares.items()}


def terminal_chart(series: Series, width: int, *, colour: bool) -> "Text":
    """Return a chart of at most six metrics as text, with its legend below.

    Parameters
    ----------
    series : dict
        Points ``(round, value)`` by metric.
    width : int
        Columns of the terminal.
    colour : bool
        Tell lines apart by colour; otherwise by letters.
    """
    import plotext
    from rich.text import Text

    shown = dict(list(series.items())[:_MOST_LINES])
    right = _axes(shown)
    figure = plotext.figure
    figure.clear()
    figure.theme("simple")
    figure.legend(False)
    legend = Text("  ")
    for (metric, points), hue, letter in zip(shown.items(), _COLOURS, _LETTERS, strict=False):
        line = figure.signal(
            [x for x, _ in points],
            [y for _, y in points],
            marker=plotext.marker("braille", hue) if colour else letter,
            yside="right" if right[metric] else "left",
        )
        figure.draw(line.lines())
        side = " (right)" if right[metric] else ""
        legend.append(f"{'━━' if colour else letter} ", style=hue if colour else "")
        legend.append(f"{metric_label(metric)}{side}   ")
    figure.plot_size(min(width, _WIDTH), _HEIGHT)
    figure.ruler("x").ticks(_ticks([x for points in shown.values() for x, _ in points]))
    return Text.from_ansi(figure.build().string(colorless=not colour)).append("\n").append(legend)


def _ticks(rounds: list[int]) -> list[int]:
    """Return at most ten whole numbers from the first round to the last."""
    first, last = min(rounds), max(rounds)
    step = -(-(last - first + 1) // 10)
    return list(range(first, last + 1, step))


def svg_chart(series: Series, path: Path, title: str) -> None:
    """Write a chart of all metrics as an SVG file that needs nothing from elsewhere."""
    import pygal

    right = _axes(series)
    rounds = sorted({x for points in series.values() for x, _ in points})
    chart = pygal.Line(
        js=[], title=title, x_title="round", show_dots=len(rounds) <= 50, legend_at_bottom=True
    )
    chart.x_labels = [str(x) for x in rounds]
    every = -(-len(rounds) // 20)
    chart.x_labels_major = chart.x_labels[::every]
    chart.show_minor_x_labels = False
    for metric, points in series.items():
        by_round = dict(points)
        values = [by_round.get(x) for x in rounds]
        chart.add(metric_label(metric), values, secondary=right[metric])
    chart.render_to_file(str(path))
