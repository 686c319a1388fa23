"""Which place a command uses, whichever way it is named; and that no file of the user changes."""

import json
from pathlib import Path

import pytest
from cli_apps import NODES, PROJECT, write_app
from typer.testing import CliRunner

from flwr.cli import superlink
from flwr.cli.commands import app as tree

HUB = "[superlink.hub]\naddress = '127.0.0.1:9'\ninsecure = true\n"
DEFAULT_HUB = f"[superlink]\ndefault = 'hub'\n{HUB}"
BIG = "[superlink]\ndefault = 'big'\n[superlink.big]\noptions.num-supernodes = 50\n"
NO_DEFAULT = NODES.replace('default = "pair"', "")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(superlink, "PATIENCE", 0.0)


def place(*arguments: str) -> str:
    """Return the line of the doctor that says which place it is."""
    ended = CliRunner().invoke(tree, ["doctor", *arguments, "--format", "json"])
    checks = json.loads(ended.stdout)["checks"]
    (message,) = [check["message"] for check in checks if check["name"] == "connection"]
    return str(message)


def configure(connections: str | None, federations: str | None) -> None:
    if connections is not None:
        Path("home", "config.toml").write_text(connections)
    if federations is not None:
        write_app(Path("tiny"), project=PROJECT + federations)


@pytest.mark.parametrize(
    ("connections", "federations", "arguments", "expected"),
    [
        # none is named
        (None, None, [], "no connection: in place, on this machine (nothing else is configured)"),
        (DEFAULT_HUB, NODES, ["tiny"], "'pair': in place, on this machine (the app's default"),
        (DEFAULT_HUB, NO_DEFAULT, ["tiny"], "'hub': the SuperLink at 127.0.0.1:9 (the default of"),
        (DEFAULT_HUB, None, [], "'hub': the SuperLink at 127.0.0.1:9 (the default of"),
        (HUB, NO_DEFAULT, ["tiny"], "no connection: in place"),
        (BIG, NO_DEFAULT, ["tiny"], "'big': in place, on this machine (the default of"),
        # one is named: connections come before federations
        (HUB, NODES, ["hub"], "'hub': the SuperLink at 127.0.0.1:9 (named on the command line)"),
        (HUB, NODES, ["tiny", "hub"], "'hub': the SuperLink at 127.0.0.1:9 (named"),
        (None, NODES, ["tiny", "pair"], "'pair': in place, on this machine (named"),
        (HUB.replace("hub", "pair"), NODES, ["tiny", "pair"], "'pair': the SuperLink at 127.0.0.1"),
        (None, NODES, ["./tiny"], "'pair': in place"),
        (HUB, NODES, ["local"], "'local': in place"),
        # nothing is called that
        (HUB, NODES, ["hbu"], "There is no connection or federation 'hbu'; did you mean 'hub'?"),
        (HUB, NODES, ["tiny", "pear"], "did you mean 'pair'?"),
        (HUB, NODES, ["home"], "(and the folder 'home' has no pyproject.toml)"),
        (HUB, NODES, ["./home"], "There is no pyproject.toml in 'home'"),
        # what cannot be a name
        (HUB, NODES, [""], "folder or of a connection is empty"),
        (HUB, NODES, ["tiny", ""], "folder or of a connection is empty"),
        (HUB, NODES, ["a.fab"], "'a.fab' is a FAB, and what is run is a folder"),
        (HUB, NODES, ["./a.fab", "hub"], "'./a.fab' is a FAB, and what is run is a folder"),
    ],
)
def test_the_place(
    connections: str | None, federations: str | None, arguments: list[str], expected: str
) -> None:
    configure(connections, federations)
    Path("a.fab").touch()
    assert expected in place(*arguments)


def test_the_federations_of_the_current_folder_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    configure(HUB, NODES)
    monkeypatch.chdir("tiny")
    assert place("pair").startswith("'pair': in place")
    assert place().startswith("'pair': in place")
    assert place(".", "hub").startswith("'hub': the SuperLink")


@pytest.mark.parametrize("connections", [None, DEFAULT_HUB, "[superlink.hub]\nadress = 'h:1'\n"])
def test_no_command_changes_the_users_files(connections: str | None) -> None:
    configure(connections, NODES)
    before = {file: file.read_bytes() for file in (*Path("home").iterdir(), *Path("tiny").iterdir())
              if file.is_file()}  # fmt: skip
    for arguments in (
        ["run", "tiny", "hub"], ["ls", "hub"], ["log", "1", "hub"], ["stop", "1", "hub"],
        ["supernode", "list", "hub"], ["doctor", "tiny"],
    ):  # fmt: skip
        CliRunner().invoke(tree, arguments)
    assert {file: file.read_bytes() for file in before} == before
    assert Path("home", "config.toml").exists() == (connections is not None)
