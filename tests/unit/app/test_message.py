import copy
import logging
import pickle  # noqa: TID251  # users' processes (ray, multiprocessing) pickle these objects

import numpy as np
import pytest

from flwr import clock
from flwr.app import DEFAULT_TTL, Error, Message, MessageType, Metadata, MetricRecord, RecordDict
from flwr.app import message as message_module
from flwr.app.message import MessageInitializationError

NOW = 1_000_000.0


@pytest.fixture(autouse=True)
def now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "unix_now", lambda: NOW)


def metadata(**changes: object) -> Metadata:
    fields: dict[str, object] = {
        "run_id": 1,
        "message_id": "m",
        "src_node_id": 2,
        "dst_node_id": 3,
        "reply_to_message_id": "r",
        "group_id": "g",
        "created_at": NOW - 10,
        "ttl": 100.0,
        "message_type": "train.abc",
        "src_task_id": 5,
        "dst_task_id": 6,
    }
    return Metadata(**(fields | changes))


def instruction(**changes: object) -> Message:
    return Message(metadata=metadata(**changes), content=RecordDict())


def test_default_ttl():
    assert DEFAULT_TTL == 43200
    assert type(DEFAULT_TTL) is int


# Instructions.


@pytest.mark.parametrize(
    "make",
    [
        lambda rd: Message(rd, 7, "train"),
        lambda rd: Message(rd, 7, message_type="train"),
        lambda rd: Message(rd, dst_node_id=7, message_type="train"),
        lambda rd: Message(content=rd, dst_node_id=7, message_type="train"),
        lambda rd: Message(rd, np.int64(7), "train"),
        lambda rd: Message(rd, 7, MessageType.TRAIN, ttl=None, group_id=None),
        lambda rd: Message(rd, 7, "train", ttl=0),
    ],
)
def test_instruction(make):
    content = RecordDict()
    message = make(content)
    assert message.content is content
    assert message.metadata == Metadata(0, "", 0, 7, "", "", NOW, DEFAULT_TTL, "train")
    assert type(message.metadata.dst_node_id) is int
    assert message.has_content()
    assert not message.has_error()


@pytest.mark.parametrize("ttl", [5, 5.5, -1])
def test_ttl_is_kept(ttl):
    got = Message(RecordDict(), 1, "train", ttl=ttl).metadata.ttl
    assert got == ttl
    assert type(got) is type(ttl)


def test_numpy_ttl_becomes_plain():
    assert type(Message(RecordDict(), 1, "train", ttl=np.float32(5)).metadata.ttl) is float


def test_group_and_task():
    md = Message(RecordDict(), 1, "train", group_id="round-1", dst_task_id=9).metadata
    assert (md.group_id, md.dst_task_id, md.src_task_id) == ("round-1", 9, None)


CONTENT = RecordDict()
ERROR = Error(1)
ASKED = instruction()


@pytest.mark.parametrize(
    "make",
    [
        Message,
        lambda: Message(CONTENT),
        lambda: Message(CONTENT, 1),
        lambda: Message(CONTENT, message_type="train"),
        lambda: Message(dst_node_id=1, message_type="train"),
        lambda: Message(None, 1, "train"),
        lambda: Message({}, 1, "train"),
        lambda: Message(MetricRecord(), 1, "train"),
        lambda: Message(CONTENT, "1", "train"),
        lambda: Message(CONTENT, 1.0, "train"),
        lambda: Message(CONTENT, 1, 2),
        lambda: Message(CONTENT, 1, "train", 5.0),
        lambda: Message(CONTENT, 1, "train", ttl="5"),
        lambda: Message(CONTENT, 1, "train", group_id=1),
        lambda: Message(ERROR, 1, "train"),
        lambda: Message(error=ERROR, dst_node_id=1, message_type="train"),
        lambda: Message(CONTENT, 1, "train", error=ERROR),
        lambda: Message(CONTENT, content=CONTENT, dst_node_id=1, message_type="train"),
        lambda: Message(CONTENT, 1, "train", dst_node_id=1),
        lambda: Message(CONTENT, error=ERROR, reply_to=ASKED),
        lambda: Message(ERROR, error=ERROR, reply_to=ASKED),
        lambda: Message(CONTENT, reply_to=ASKED, dst_node_id=1),
        lambda: Message(CONTENT, 1, reply_to=ASKED),
        lambda: Message(CONTENT, reply_to=ASKED, message_type="train"),
        lambda: Message(CONTENT, reply_to=ASKED, group_id="g"),
        lambda: Message(CONTENT, reply_to=ASKED, dst_task_id=1),
        lambda: Message(CONTENT, reply_to=ASKED.metadata),
        lambda: Message(CONTENT, np.zeros(2), reply_to=ASKED),
        lambda: Message(reply_to=ASKED),
        lambda: Message("text", reply_to=ASKED),
        lambda: Message(error="text", reply_to=ASKED),
        lambda: Message(metadata(), CONTENT),
        lambda: Message(CONTENT, metadata=metadata()),
        lambda: Message(metadata=metadata()),
        lambda: Message(metadata=metadata(), content=CONTENT, error=ERROR),
        lambda: Message(metadata={}, content=CONTENT),
        lambda: Message(metadata=metadata(), content={}),
    ],
)
def test_other_arguments_are_refused(make):
    with pytest.raises(MessageInitializationError, match=r"^Invalid arguments for Message\. Exp"):
        make()


def test_the_refusal_is_a_type_error():
    assert issubclass(MessageInitializationError, TypeError)


@pytest.mark.parametrize(
    "more",
    [
        {"ttl": 1.0},
        {"dst_node_id": 1},
        {"message_type": "train"},
        {"group_id": "g"},
        {"dst_task_id": 1},
        {"reply_to": ASKED},
    ],
)
def test_metadata_goes_with_a_body_only(more):
    with pytest.raises(MessageInitializationError, match="only `metadata` to be set"):
        Message(metadata=metadata(), content=CONTENT, **more)


def test_unknown_message_type_is_a_value_error():
    with pytest.raises(ValueError, match="Invalid message type: 'Train'"):
        Message(RecordDict(), 1, "Train")


def test_from_metadata():
    md = metadata()
    message = Message(metadata=md, content=CONTENT)
    assert message.metadata is md
    assert message.content is CONTENT
    failed = Message(metadata=md, error=ERROR)
    assert failed.error is ERROR


# Bodies.


def test_content_and_error_exclude_each_other():
    good = Message(RecordDict(), 1, "train")
    failed = Message(Error(2), reply_to=good)
    assert failed.has_error()
    assert not failed.has_content()
    with pytest.raises(ValueError, match="Message error is None. Use <message>.has_error"):
        _ = good.error
    with pytest.raises(ValueError, match="Message content is None. Use <message>.has_content"):
        _ = failed.content
    with pytest.raises(ValueError, match="error set cannot have content"):
        failed.content = RecordDict()
    with pytest.raises(ValueError, match="content set cannot carry an error"):
        good.error = Error(1)


def test_bodies_can_be_replaced_by_their_like():
    good = Message(RecordDict(), 1, "train")
    content = RecordDict()
    good.content = content
    assert good.content is content
    failed = Message(Error(2), reply_to=good)
    failed.error = Error(3)
    assert failed.error.code == 3


@pytest.mark.parametrize("value", [None, 1, {}])
def test_bodies_are_checked(value):
    good = Message(RecordDict(), 1, "train")
    with pytest.raises(TypeError, match="content of a message is a `RecordDict`"):
        good.content = value
    failed = Message(Error(2), reply_to=good)
    with pytest.raises(TypeError, match="error of a message is an `Error`"):
        failed.error = value


def test_metadata_is_read_only():
    with pytest.raises(AttributeError):
        instruction().metadata = metadata()


def test_repr():
    good = instruction()
    assert repr(good) == f"Message(metadata={good.metadata!r}, content={good.content!r})"
    failed = Message(Error(2, "x"), reply_to=good)
    assert repr(failed) == f"Message(metadata={failed.metadata!r}, error={failed.error!r})"


def test_equality_is_identity():
    message = instruction()
    assert message == message  # noqa: PLR0124
    assert message != Message(metadata=message.metadata, content=message.content)
    assert message in {message}


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize("body", [RecordDict({"m": MetricRecord({"a": 1})}), Error(2, "x")])
def test_copies(duplicate, body):
    message = Message(body, reply_to=instruction())
    other = duplicate(message)
    assert other.metadata == message.metadata
    if message.has_error():
        assert other.error == message.error
    else:
        assert other.content == message.content
        other.content.clear()
        assert message.content


# Replies.


@pytest.mark.parametrize(
    "make",
    [
        lambda asked: Message(RecordDict(), reply_to=asked),
        lambda asked: Message(content=RecordDict(), reply_to=asked),
        lambda asked: Message(Error(2), reply_to=asked),
        lambda asked: Message(error=Error(2), reply_to=asked),
        lambda asked: Message(RecordDict(), reply_to=asked, ttl=0),
        lambda asked: asked.create_reply(RecordDict()),
        lambda asked: asked.create_error_reply(Error(2)),
    ],
)
def test_reply(make):
    reply = make(instruction())
    assert reply.metadata == Metadata(
        run_id=1,
        message_id="",
        src_node_id=3,
        dst_node_id=2,
        reply_to_message_id="m",
        group_id="g",
        created_at=NOW,
        ttl=90.0,
        message_type="train.abc",
        src_task_id=6,
        dst_task_id=5,
    )


def test_reply_to_an_error():
    failed = Message(Error(2), reply_to=instruction())
    assert Message(RecordDict(), reply_to=failed).has_content()


@pytest.mark.parametrize("ttl", [5, 89.0, 90.05, -3])
def test_a_reply_ttl_within_reach_is_kept(ttl, caplog):
    assert Message(RecordDict(), reply_to=instruction(), ttl=ttl).metadata.ttl == ttl
    assert caplog.records == []


def test_a_reply_ttl_beyond_reach_is_cut(caplog):
    assert Message(RecordDict(), reply_to=instruction(), ttl=91).metadata.ttl == 90
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith(
        "The reply TTL of 91.00 seconds exceeded the allowed maximum of 90.00 seconds."
    )


def test_a_reply_to_an_expired_message_is_expired():
    assert Message(RecordDict(), reply_to=instruction(ttl=4)).metadata.ttl == -6


@pytest.mark.parametrize(
    ("method", "body"), [("create_reply", RecordDict()), ("create_error_reply", Error(2))]
)
def test_old_methods_say_so_once(method, body, caplog, monkeypatch):
    monkeypatch.setattr(message_module, "_said", set())
    asked = instruction()
    assert getattr(asked, method)(body, ttl=5).metadata.ttl == 5
    getattr(asked, method)(body, 5)
    (text,) = caplog.messages
    assert text.startswith(f"DEPRECATED FEATURE: `Message.{method}` is deprecated.")
