"""Databases as older versions left them."""

import sqlite3
from pathlib import Path

import pytest


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A database of revision 0001, with a run that failed and one that is pending."""
    path = tmp_path / "state.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.executescript((Path(__file__).parent / "r0001.sql").read_text())
    connection.close()
    return path
