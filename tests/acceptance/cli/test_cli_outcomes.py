"""What makes a run a failed one, and what is said of messages that all failed."""

import json
from collections.abc import Callable
from pathlib import Path

from cli_apps import Flwr


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
    assert flwr.status() == "finished:failed"


def with_broken(folder: Path, *handlers: str) -> Path:
    """Have a client's handlers raise."""
    source = folder / "tiny" / "client_app.py"
    text = source.read_text()
    for handler in handlers:
        head = f"def {handler}(msg, context):\n"
        assert head in text
        text = text.replace(head, f"{head}    raise ValueError('broken {handler}')\n")
    source.write_text(text)
    return folder


def test_a_run_that_only_evaluated_has_failed(flwr: Flwr, app: Callable[..., Path]) -> None:
    ended = flwr("run", with_broken(app(), "train"), "--format", "json")
    assert ended.code == 1
    assert "All of its 4 train messages came back as errors." in ended.err
    assert "ValueError: broken train" in ended.err
    result = json.loads(ended.out)
    assert (result["status"], result["failures"]) == ("finished:failed", 4)
    assert flwr.status() == "finished:failed"


def test_train_actions_count_together(flwr: Flwr, app: Callable[..., Path]) -> None:
    ask = """
    from flwr.app import Message, RecordDict
    for name in ("train", "train.good"):
        grid.send_and_receive([Message(RecordDict(), node, name) for node in grid.get_node_ids()])
    """
    folder = with_broken(app(strategy="dict(fraction_train=0.0)", then=ask.strip()), "train")
    client = folder / "tiny" / "client_app.py"
    client.write_text(
        client.read_text() + "\n@app.train('good')\ndef good(msg, context):\n"
        "    return Message(RecordDict(), reply_to=msg)\n"
    )
    ended = flwr("run", folder)
    assert ended.code == 0, ended.err
    assert "All 2 messages of type 'train' came back as errors." in ended.err
    assert flwr.status() == "finished:completed"


def test_a_run_whose_evaluation_always_failed_has_failed(
    flwr: Flwr, app: Callable[..., Path]
) -> None:
    ended = flwr("run", with_broken(app(), "evaluate"))
    assert ended.code == 1, ended.err
    assert "All of its 4 evaluate messages came back as errors." in ended.err
    assert "ValueError: broken evaluate" in ended.err
    assert flwr.status() == "finished:failed"


def test_an_app_that_cannot_evaluate_is_warned_of_at_the_end(
    flwr: Flwr, app: Callable[..., Path]
) -> None:
    folder = app()
    client = folder / "tiny" / "client_app.py"
    client.write_text(client.read_text().replace("@app.evaluate()", ""))
    ended = flwr("run", folder)
    assert ended.code == 0, ended.err
    last_line = ended.err.splitlines()[-1]
    assert last_line.startswith("WARNING")
    assert last_line.endswith("All 4 messages of type 'evaluate' came back as errors.")
    assert flwr.status() == "finished:completed"


def test_no_warning_where_some_answered(flwr: Flwr, app: Callable[..., Path]) -> None:
    ended = flwr("run", app(first="if context.node_config['partition-id'] == 1: 1 / 0"))
    assert ended.code == 0, ended.err
    assert "came back as errors" not in ended.err
