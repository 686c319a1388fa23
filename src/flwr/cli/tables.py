"""Tables that fit the terminal: ids and states are never cut, less important columns give way."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_GAP = 2  # columns of the terminal between two
_FOLDED = 8  # columns of the terminal that a column which may be folded gets at least


@dataclass(frozen=True)
class Column:
    """A column of a listing.

    Attributes
    ----------
    heading : str
        What stands above it.
    fold : bool, default False
        Long cells are folded into several lines. Others are shown whole.
    split : bool, default False
        Where there is little room, heading and cells are split at their first blank.
    spare : int, default 0
        0: always shown. Of the others the one with the highest number is left out first.
    right : bool, default False
        Numbers: at the right.
    """

    heading: str
    fold: bool = False
    split: bool = False
    spare: int = 0
    right: bool = False


def listing_table(
    columns: Sequence[Column], rows: Sequence[Sequence["str | Text"]], width: int
) -> "Table":
    """Return a table of rows that is no wider than `width`, if that can be.

    First times and the like are split over two lines, then columns are left out. A table that is
    wider all the same is to be printed whole (``crop=False``): the terminal wraps its lines.
    """
    from rich import box
    from rich.table import Table

    chosen = list(range(len(columns)))
    narrow = _needed(columns, rows, chosen, narrow=False) > width
    while narrow and _needed(columns, rows, chosen, narrow=True) > width:
        least = max(chosen, key=lambda index: columns[index].spare)
        if not columns[least].spare:
            break
        chosen.remove(least)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    if (least_width := _needed(columns, rows, chosen, narrow=narrow)) > width:
        table.width = least_width
    for column in (columns[index] for index in chosen):
        table.add_column(
            _split(column, column.heading, narrow=narrow),
            justify="right" if column.right else "left",
            overflow="fold",
            no_wrap=not column.fold,
        )
    for row in rows:
        cells = (_split(columns[index], row[index], narrow=narrow) for index in chosen)
        table.add_row(*cells)
    return table


def _split(column: Column, cell: "str | Text", *, narrow: bool) -> "str | Text":
    if narrow and column.split and isinstance(cell, str):
        return cell.replace(" ", "\n", 1)
    return cell


def _needed(
    columns: Sequence[Column],
    rows: Sequence[Sequence["str | Text"]],
    chosen: Sequence[int],
    *,
    narrow: bool,
) -> int:
    """Return how wide a table of the chosen columns must be."""
    total = 0
    for index in chosen:
        column = columns[index]
        cells = (str(_split(column, row[index], narrow=narrow)) for row in rows)
        head = max(map(len, str(_split(column, column.heading, narrow=narrow)).splitlines()))
        widest = max((len(line) for cell in cells for line in cell.splitlines()), default=0)
        if column.fold and narrow:
            widest = min(widest, _FOLDED)
        total += max(head, widest) + _GAP
    return total - _GAP
