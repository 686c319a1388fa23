"""The mods that log sizes."""

import logging

import numpy as np
import pytest

from flwr.app import ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp.mod import arrays_size_mod, message_size_mod
from flwr.clientapp.typing import Mod

MODEL = ArrayRecord([np.zeros(2), np.zeros((3, 4), np.float32)])


def lines(
    mod: Mod,
    answer: RecordDict | Error,
    caplog: pytest.LogCaptureFixture,
    message_type: str = "train",
) -> list[str]:
    content = RecordDict({"arrays": MODEL, "config": ConfigRecord({"lr": 0.1})})
    message = Message(content, 1, message_type)
    reply = Message(answer, reply_to=message)
    with caplog.at_level(logging.INFO, "flwr"):
        passed = mod(message, Context(0, 1, {}, RecordDict(), {}), lambda *_: reply)
    assert passed is reply
    return caplog.messages


@pytest.mark.parametrize("message_type", ["train", "train.x", "evaluate", "query"])
def test_message_size(caplog: pytest.LogCaptureFixture, message_type: str) -> None:
    answer = RecordDict({"metrics": MetricRecord({"loss": 1.0})})
    assert lines(message_size_mod, answer, caplog, message_type) == [
        f"Incoming message size: {MODEL.count_bytes() + 10} bytes",
        "Outgoing message size: 12 bytes",
    ]


def test_arrays_size(caplog: pytest.LogCaptureFixture) -> None:
    size = MODEL.count_bytes()
    sizes = {"elements": 14, "bytes": size}
    assert lines(arrays_size_mod, RecordDict({"a": MODEL, "b": MODEL}), caplog) == [
        "Incoming `ArrayRecord` size statistics:",
        f"{{'arrays': {sizes}}}",
        f"Total array elements received: {size} bytes",
        "Outgoing `ArrayRecord` size statistics:",
        f"{{'a': {sizes}, 'b': {sizes}}}",
        f"Total array elements sent: {2 * size} bytes",
    ]


def test_no_arrays_are_0_bytes(caplog: pytest.LogCaptureFixture) -> None:
    answer = RecordDict({"metrics": MetricRecord({"loss": 1.0})})
    assert lines(arrays_size_mod, answer, caplog)[-1] == "Total array elements sent: 0 bytes"


@pytest.mark.parametrize("mod", [message_size_mod, arrays_size_mod])
def test_an_error_reply_has_no_outgoing_line(mod: Mod, caplog: pytest.LogCaptureFixture) -> None:
    shown = lines(mod, Error(2, "boom"), caplog)
    assert shown
    assert not any("utgoing" in line or "sent" in line for line in shown)
