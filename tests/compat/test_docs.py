"""What the documentation says is true: its code runs, its lists are those of the tests."""

import os
import re
import subprocess
import sys
from pathlib import Path

from test_surface import MODULES_NOT_THERE_YET, NOT_THERE_YET, UPSTREAM

PROJECT = Path(__file__).parents[2]


def names_in(section: str) -> set[str]:
    text = (PROJECT / "docs" / "compatibility.md").read_text()
    return set(re.findall(r"`([^`]+)`", text.split(f"## {section}\n")[1].split("\n## ")[0]))


def test_the_first_app_learns_what_the_tutorial_says() -> None:
    result = subprocess.run(
        [sys.executable, PROJECT / "docs" / "code" / "first_app.py"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert result.stdout.splitlines()[-1] == "learned: [ 3. -1.]"
    text = (PROJECT / "docs" / "write-an-app.md").read_text()
    assert "learned: [ 3. -1.]" in text


def test_names_that_come_later_are_listed_as_such() -> None:
    later = set().union(*NOT_THERE_YET.values()) - {"client", "common", "server"}
    assert later <= names_in("Not there yet")
    assert {m for m in MODULES_NOT_THERE_YET if m != "flwr.compat"} <= names_in("Not there yet")


def test_names_that_are_there_are_listed_as_such() -> None:
    listed = names_in("There")
    for module in ("flwr.serverapp", "flwr.serverapp.strategy", "flwr.simulation"):
        there = set(UPSTREAM[module]) - NOT_THERE_YET[module]
        assert there <= listed
        assert not NOT_THERE_YET[module] & listed
