import copy
import pickle  # noqa: TID251  # users' processes (ray, multiprocessing) pickle these objects

import pytest

from flwr.app import MessageType, Metadata
from flwr.app.messagetype import MessageTypeLegacy

FIELDS = {
    "run_id": 1,
    "message_id": "m",
    "src_node_id": 2,
    "dst_node_id": 3,
    "reply_to_message_id": "r",
    "group_id": "g",
    "created_at": 1.5,
    "ttl": 10,
    "message_type": "train",
    "src_task_id": None,
    "dst_task_id": None,
}


@pytest.fixture
def metadata() -> Metadata:
    return Metadata(**FIELDS)


def test_fields(metadata):
    assert {name: getattr(metadata, name) for name in FIELDS} == FIELDS
    assert metadata == Metadata(*FIELDS.values())
    assert metadata == Metadata(*list(FIELDS.values())[:9])
    assert metadata.delivered_at == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dst_node_id", 9),
        ("group_id", "h"),
        ("created_at", 2.5),
        ("delivered_at", "2026-01-31T00:00:00+00:00"),
        ("ttl", 5.0),
        ("message_type", "query.abc"),
        ("src_task_id", 4),
        ("dst_task_id", 4),
    ],
)
def test_settable(metadata, name, value):
    setattr(metadata, name, value)
    assert getattr(metadata, name) == value
    assert metadata != Metadata(**FIELDS)


@pytest.mark.parametrize("name", ["run_id", "message_id", "src_node_id", "reply_to_message_id"])
def test_read_only_but_for_transports(metadata, name):
    with pytest.raises(AttributeError):
        setattr(metadata, name, 9)
    setattr(metadata, f"_{name}", 9)
    assert getattr(metadata, name) == 9
    metadata.__dict__[f"_{name}"] = 10
    assert getattr(metadata, name) == 10


def test_private_names(metadata):
    assert metadata.__dict__ == {f"_{name}": value for name, value in FIELDS.items()} | {
        "_delivered_at": ""
    }


def test_equality_with_other_types(metadata):
    assert metadata != 1
    assert metadata != FIELDS


def test_it_is_unhashable(metadata):
    with pytest.raises(TypeError, match="unhashable"):
        hash(metadata)


def test_repr(metadata):
    assert repr(metadata) == (
        "Metadata(run_id=1, message_id='m', src_node_id=2, dst_node_id=3, src_task_id=None, "
        "dst_task_id=None, reply_to_message_id='r', group_id='g', created_at=1.5, ttl=10, "
        "message_type='train', delivered_at='')"
    )


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_copies(metadata, duplicate):
    other = duplicate(metadata)
    assert other == metadata
    other.ttl = 5
    assert metadata.ttl == 10


VALID = [
    "train",
    "evaluate",
    "query",
    "system",
    "train.default",
    "train.abc",
    "query.if",
    "evaluate._x1",
    "train.größe",
    "get_properties",
    "get_parameters",
    "reconnect",
]
INVALID = [
    "",
    "Train",
    "train.",
    "train..x",
    "train.a.b",
    "query.a-b",
    "train.1a",
    " train",
    ".train",
    "other",
    "other.x",
    "get_properties.x",
]


@pytest.mark.parametrize("message_type", VALID)
def test_valid_message_types(metadata, message_type):
    assert Metadata(**(FIELDS | {"message_type": message_type})).message_type == message_type
    metadata.message_type = message_type


@pytest.mark.parametrize("message_type", INVALID)
def test_invalid_message_types(metadata, message_type):
    with pytest.raises(ValueError, match="Invalid message type: .* Expected format"):
        Metadata(**(FIELDS | {"message_type": message_type}))
    with pytest.raises(ValueError, match="Invalid message type"):
        metadata.message_type = message_type
    assert metadata.message_type == "train"


def test_message_type_constants():
    assert (MessageType.TRAIN, MessageType.EVALUATE, MessageType.QUERY) == (
        "train",
        "evaluate",
        "query",
    )
    assert MessageType.SYSTEM == "system"
    assert MessageTypeLegacy.GET_PROPERTIES == "get_properties"
    assert MessageTypeLegacy.GET_PARAMETERS == "get_parameters"


@pytest.mark.parametrize("kind", [MessageType, MessageTypeLegacy])
def test_message_types_cannot_be_instantiated(kind):
    with pytest.raises(TypeError, match=f"{kind.__name__} cannot be instantiated"):
        kind()
