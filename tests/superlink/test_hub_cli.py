"""Commands about the nodes and the federation of a hub."""

import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hub_here import HubHere
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from flwr.cli.commands import app as tree
from flwr.transport import fleet


@pytest.fixture
def ask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Return a function that runs a command at a hub, and gives its status and its JSON."""
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def run(hub: HubHere, words: str, *arguments: str) -> tuple[int, dict[str, Any]]:
        (tmp_path / "home").mkdir(exist_ok=True)
        (tmp_path / "home" / "config.toml").write_text(
            f"[superlink.hub]\naddress = '127.0.0.1:{hub.ports[2]}'\ninsecure = true\n"
        )
        ended = CliRunner().invoke(tree, [*words.split(), *arguments, "hub", "--format", "json"])
        told = json.loads(ended.stdout)
        schema = files("flwr.cli") / "schemas" / f"{words.replace(' ', '-')}.json"
        Draft202012Validator(json.loads(schema.read_text())).validate(told)
        return ended.exit_code, told

    return run


def test_a_node_that_is_offline_is_forgotten(hub: HubHere, ask: Callable[..., Any]) -> None:
    node = hub.node("secret")
    code, told = ask(hub, "supernode unregister", str(node.id))
    assert code == 1
    assert f"Node {node.id} is online" in told["error"]["message"]
    node.link.call(fleet.LEAVE, fleet.Leave(node.epoch))
    code, told = ask(hub, "supernode unregister", str(node.id))
    assert (code, told) == (0, {"success": True, "node-id": str(node.id)})
    assert ask(hub, "supernode list")[1]["nodes"] == []
    code, told = ask(hub, "supernode unregister", str(node.id))
    assert (code, told["error"]["code"]) == (1, "node-not-found")


def test_the_federation_of_nodes(hub: HubHere, ask: Callable[..., Any]) -> None:
    node = hub.node("secret")
    hub.submit(7)
    (one,) = ask(hub, "federation list")[1]["federations"]
    assert (one["id"], one["simulation"]) == ("@none/default", False)
    shown = ask(hub, "federation list", "--federation", "@none/default")[1]["federation"]
    assert shown["nodes"] == [{"node_id": str(node.id), "owner": "none", "status": "online"}]
    assert [run["run_id"] for run in shown["runs"]] == ["7"]
    assert shown["simulation-config"] is None
    code, told = ask(hub, "federation list", "--federation", "@a/b")
    assert (code, told["error"]["code"]) == (1, "config")


def test_the_federation_of_simulations(
    start_hub: Callable[..., HubHere], ask: Callable[..., Any]
) -> None:
    hub = start_hub(simulation=True)
    shown = ask(hub, "federation list", "--federation", "@none/default")[1]["federation"]
    assert (shown["simulation"], shown["nodes"]) == (True, [])
    assert shown["simulation-config"]["num_supernodes"] == 10
