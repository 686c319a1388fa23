"""What the documentation says is true: its code runs, its lists are those of the tests."""

import importlib
import os
import re
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import typer.main
from test_surface import LATER, UPSTREAM

from flwr._version import __version__
from flwr.cli.commands import app as command_line
from flwr.common import EventType

PROJECT = Path(__file__).parents[2]
COMMANDS: dict[str, Any] = vars(typer.main.get_command(command_line))["commands"]


def names_in(section: str) -> set[str]:
    text = (PROJECT / "docs" / "compatibility.md").read_text()
    return set(re.findall(r"`([^`]+)`", text.split(f"## {section}\n")[1].split("\n## ")[0]))


def test_the_first_app_learns_what_the_tutorial_says() -> None:
    assert run_code("first_app.py")[-1] == "learned: [ 3. -1.]"
    text = (PROJECT / "docs" / "write-an-app.md").read_text()
    assert "learned: [ 3. -1.]" in text


def test_the_app_of_the_older_interface_learns_what_the_page_says() -> None:
    output = run_code("legacy_app.py")
    text = (PROJECT / "docs" / "move-here.md").read_text()
    learned = [line for line in output if line.startswith("learned: ")]
    assert learned == ["learned: [ 3. -1.]"]
    assert f"`{learned[0]}`" in text


def test_the_scripts_of_the_older_interface_end_as_the_page_says() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with ThreadPoolExecutor() as together:
        clients = [
            together.submit(run_code, "legacy_client.py", address, number)
            for number in ("1.0", "3.0")
        ]
        last = run_code("legacy_server.py", address)[-1]
        assert [client.result() for client in clients] == [[], []]
    assert last.startswith("losses: ")
    assert f"`{last}`" in (PROJECT / "docs" / "move-here.md").read_text()


def run_code(name: str, *arguments: str) -> list[str]:
    """Run a file of ``docs/code``; return the lines it prints."""
    result = subprocess.run(
        [sys.executable, PROJECT / "docs" / "code" / name, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "NO_COLOR": "1"},
    )
    return result.stdout.splitlines()


def test_names_that_come_later_are_listed_as_such() -> None:
    assert LATER | {"secagg_mod", "secaggplus_mod"} <= names_in("Not there yet")


@pytest.mark.parametrize("module", ["flwr.serverapp", "flwr.serverapp.strategy", "flwr.simulation"])
def test_names_that_are_there_are_listed_as_such(module: str) -> None:
    assert set(UPSTREAM["1.41"][module]) <= names_in("There")


def test_the_changelog_has_this_version() -> None:
    assert f"## [{__version__}]" in (PROJECT / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_links_lead_to_files(page: str) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", (PROJECT / page).read_text())
    assert links
    assert [link for link in links if not (PROJECT / link).is_file()] == []


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_commands_and_their_options_are_documented(name: str) -> None:
    text = (PROJECT / "docs" / "command-line.md").read_text()
    assert f"flwr {name}" in text
    options = {
        option
        for parameter in COMMANDS[name].params
        for option in [*parameter.opts, *parameter.secondary_opts]
        if option.startswith("--")
    }
    assert {option for option in options if f"`{option}" not in text} == set()


def test_environment_variables_are_documented() -> None:
    text = (PROJECT / "docs" / "reference" / "environment.md").read_text()
    sources = (PROJECT / "src" / "flwr").rglob("*.py")
    names = {n for file in sources for n in re.findall(r"\bFLWR_[A-Z_]+", file.read_text())}
    names -= {event.name for event in EventType} | {"FLWR_DIR"}  # legacy names of other things
    assert {name for name in names if f"`{name}`" not in text} == set()


@pytest.mark.parametrize(
    "command",
    ["flower-superlink", "flower-supernode"],
)
def test_options_of_servers_are_documented(command: str) -> None:
    module = importlib.import_module(f"flwr.cli.{command.replace('-', '_')}")
    text = (PROJECT / "docs" / "deployment" / "commands.md").read_text()
    without_effect = ("refused", "no effect", "no meaning", "help", "version")
    options = {
        option
        for action in module._parser()._actions
        if not any(word in (action.help or "").lower() for word in without_effect)
        for option in action.option_strings
        if option.startswith("--")
    }
    assert {option for option in options if f"`{option}" not in text} == set()
