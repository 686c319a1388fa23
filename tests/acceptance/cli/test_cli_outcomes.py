"""What makes a run a failed one, and what is said of messages that all failed."""

import json
from collections.abc import Callable
from pathlib import Path

from cli_apps import Flwr


def status(flwr: Flwr) -> str:
    (run,) = json.loads(flwr("ls", "--format", "json").out)["runs"]
    return str(run["status"])


def test_a_strategy_that_asks_nobody_by_none_is_named(flwr: Flwr, app: Callable[..., Path]) -> None:
    folder = app()
    source = folder / "tiny" / "server_app.py"
    vague = "class Vague(FedAvg):\n    def configure_train(self, *_): return None\n"
    source.write_text(
        source.read_text()
        .replace("FedAvg(**{})", "Vague()")
        .replace("app = ServerApp()", f"{vague}\napp = ServerApp()")
    )
    ended = flwr("run", folder)
    assert ended.code == 1
    assert "Vague.configure_train must return an iterable of Messages" in ended.err
    assert "returned NoneType" in ended.err
    assert status(flwr) == "finished:failed"
