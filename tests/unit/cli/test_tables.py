"""Listings fit the terminal, and what identifies a row is never cut."""

import io

import pytest
from rich.console import Console

from flwr.cli.supernode import _COLUMNS as NODE_COLUMNS
from flwr.cli.tables import Column, listing_table

NODE = [
    "18446744073709551615", "a-node-with-a-long-name", "partition-id=0 num-partitions=2",
    "unregistered", "10d 23h", "2026-11-25 02:00:00Z",
]  # fmt: skip


def shown(columns: tuple[Column, ...], rows: list[list[str]], width: int) -> list[str]:
    out = Console(file=io.StringIO(), width=width)
    out.print(listing_table(columns, rows, width), crop=False)
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [50, 60, 80, 100, 200])
def test_a_list_of_nodes_fits(width: int) -> None:
    lines = shown(NODE_COLUMNS, [NODE], width)
    assert max(map(len, lines)) <= width
    (row,) = [line for line in lines if NODE[0] in line]
    assert NODE[3] in row


def test_times_are_split_before_columns_are_left_out() -> None:
    columns = (Column("Id"), Column("Extra", spare=1), Column("Changed @", split=True))
    rows = [["1" * 10, "x" * 10, "2026-11-25 02:00:00Z"]]
    assert any("2026-11-25 02:00:00Z" in line for line in shown(columns, rows, 44))
    narrow = "\n".join(shown(columns, rows, 40))
    assert "Extra" in narrow
    assert "2026-11-25 02:00:00Z" not in narrow
    assert "Extra" not in "\n".join(shown(columns, rows, 25))


def test_what_must_be_there_is_there_even_where_there_is_no_room() -> None:
    shown_here = "\n".join(shown((Column("Id"), Column("State")), [["1" * 30, "done"]], 20))
    assert f"{'1' * 30}  done" in shown_here
