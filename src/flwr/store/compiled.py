"""Statements compiled once, for the driver's own cursor: where a call's microseconds count."""

import sqlite3
from typing import Any, cast

from sqlalchemy import Connection
from sqlalchemy.dialects.sqlite import dialect
from sqlalchemy.sql import ClauseElement

_DIALECT = dialect(paramstyle="named")


class Compiled:
    """A statement whose parameters have names. Values go to the driver as they are.

    Parameters
    ----------
    statement : ClauseElement
        What to compile.
    columns : tuple of str, optional
        For an INSERT: the columns that get values.
    """

    def __init__(self, statement: ClauseElement, columns: tuple[str, ...] | None = None) -> None:
        compiled = statement.compile(dialect=_DIALECT, column_keys=columns)
        self._text = str(compiled)
        self._fixed = {key: value for key, value in compiled.params.items() if value is not None}

    def __call__(self, driver: sqlite3.Connection, **values: Any) -> sqlite3.Cursor:
        """Run it."""
        return driver.execute(self._text, {**self._fixed, **values} if self._fixed else values)


def driver_of(connection: Connection) -> sqlite3.Connection:
    """Return the driver's connection."""
    return cast("sqlite3.Connection", connection.connection.driver_connection)
