"""`flwr.server.utils`: checking messages, and writing for TensorBoard."""

import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flwr.app import Error, Message, RecordDict
from flwr.common import Code, EvaluateRes, Status
from flwr.server.strategy import FedAvg
from flwr.server.utils import tensorboard, validate_message

NOT_HUB = "`metadata.{}` is not 1 (SuperLink node ID)"
IS_HUB = "`metadata.{}` is 1 (SuperLink node ID)"


def instruction(**fields: Any) -> Message:
    message = Message(RecordDict(), 3, "train")
    message.metadata._src_node_id = 1
    for name, value in fields.items():
        setattr(message.metadata, name, value)
    return message


def reply(**fields: Any) -> Message:
    message = Message(RecordDict(), reply_to=instruction(_message_id="a"))
    for name, value in fields.items():
        setattr(message.metadata, name, value)
    return message


def test_messages_that_can_be_sent_are_valid() -> None:
    assert validate_message(instruction(), is_reply_message=False) == []
    assert validate_message(reply(), is_reply_message=True) == []
    failed = Message(Error(1), reply_to=instruction(_message_id="a"))
    assert validate_message(failed, is_reply_message=True) == []


@pytest.mark.parametrize(
    ("fields", "problems"),
    [
        ({"_message_id": "a"}, ["non-empty `metadata.message_id`"]),
        (
            {"_src_node_id": 0},
            ["`metadata.src_node_id` is not set.", NOT_HUB.format("src_node_id")],
        ),
        ({"_src_node_id": 5}, [NOT_HUB.format("src_node_id")]),
        ({"dst_node_id": 0}, ["`metadata.dst_node_id` is not set."]),
        ({"dst_node_id": 1}, [IS_HUB.format("dst_node_id")]),
        ({"ttl": -1}, ["`metadata.ttl` must be higher than zero", "Message TTL has expired"]),
        ({"delivered_at": "x"}, ["`metadata.delivered_at` must be an empty str"]),
        ({"_reply_to_message_id": "b"}, ["`metadata.reply_to_message_id` MUST not be set."]),
        ({"created_at": time.time() + 100}, []),
    ],
)
def test_what_is_wrong_with_an_instruction_is_told(
    fields: dict[str, Any], problems: list[str]
) -> None:
    assert validate_message(instruction(**fields), is_reply_message=False) == problems


def test_a_time_that_no_clock_made_is_told() -> None:
    problems = validate_message(instruction(created_at=1.0), is_reply_message=False)
    assert problems[0].startswith("`metadata.created_at` must be a float that records the unix")
    assert problems[1:] == ["Message TTL has expired"]


def test_what_is_wrong_with_a_reply_is_told() -> None:
    assert validate_message(reply(dst_node_id=9), is_reply_message=True) == [
        NOT_HUB.format("dst_node_id")
    ]
    assert validate_message(reply(_reply_to_message_id=""), is_reply_message=True) == [
        "`metadata.reply_to_message_id` MUST be set."
    ]
    assert len(validate_message(reply(), is_reply_message=False)) == 3


class Summary:
    """Remembers what TensorFlow would write."""

    def __init__(self) -> None:
        self.written: list[tuple[str, str, float, int]] = []
        self.folder = ""

    def create_file_writer(self, folder: str) -> Any:
        self.folder = folder
        return SimpleNamespace(as_default=lambda step: nullcontext(), flush=lambda: None)

    def scalar(self, name: str, value: float, step: int) -> None:
        self.written.append((self.folder, name, value, step))


def test_evaluations_are_written_for_tensorboard(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    summary = Summary()
    monkeypatch.setitem(sys.modules, "tensorflow", SimpleNamespace(summary=summary))
    made = tensorboard(logdir=str(tmp_path))(FedAvg)
    assert issubclass(made, FedAvg)
    strategy = made(min_fit_clients=3, min_available_clients=3)
    result = EvaluateRes(Status(Code.OK, ""), 0.5, 3, {"acc": 0.25, "name": "a"})
    results = [(SimpleNamespace(cid="7", node_id=7), result)]
    assert strategy.aggregate_evaluate(2, results, []) == (0.5, {})
    assert strategy.aggregate_evaluate(3, [], []) == (None, {})
    folders = {Path(folder).relative_to(tmp_path).parts[1:] for folder, *_ in summary.written}
    assert folders == {("server",), ("clients", "7")}
    assert [(name, value, step) for _, name, value, step in summary.written] == [
        ("server/loss_aggregated", 0.5, 2),
        ("clients/loss", 0.5, 2),
        ("clients/num_examples", 3, 2),
        ("clients/acc", 0.25, 2),
    ]


def test_without_tensorflow_the_strategy_stays_as_it_is(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert tensorboard(logdir="logs")(FedAvg) is FedAvg
    assert caplog.messages[0].startswith("DEPRECATED FEATURE: ")
    assert "pip install tensorflow" in caplog.messages[1]
