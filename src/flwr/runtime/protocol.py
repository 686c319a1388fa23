"""What a run's process and its workers tell each other.

Arrays never travel inside these structs. A content names its arrays by number; each number has
a place: a layout (announced once per channel), and either a shared segment or the frames that
came with the message. States are opaque to the run's process: it keeps and returns their bytes.
"""

from typing import Any

import msgspec

Place = tuple[int, int, int]  # layout number, segment key (0: this message's frames), offset
LayoutHeader = list[Any]


class Content(msgspec.Struct, array_like=True, gc=False):
    """A message's content: its records, and where their arrays lie."""

    records: msgspec.Raw
    arrays: list[Place] = []


class State(msgspec.Struct, array_like=True, gc=False):
    """A node's ``context.state``: its encoded records, and which frame bytes hold the arrays."""

    records: bytes
    offset: int = 0
    nbytes: int = 0


class Setup(msgspec.Struct, array_like=True, tag="setup"):
    """First message to a worker: what all its messages have in common."""

    run_id: int
    run_config: dict[str, Any]


class Item(msgspec.Struct, array_like=True, gc=False):
    """One message for one node."""

    seq: int
    metadata: list[Any]
    content: int  # index into the batch's contents
    node_id: int
    node_config: dict[str, Any]
    seed: int
    state: State | None = None
    slot: int = 0  # key of the segment that the reply's arrays may use, 0 if none


class Announced(msgspec.Struct, array_like=True, gc=False):
    """A segment whose descriptor comes with this message."""

    key: int
    nbytes: int


class Announcement(msgspec.Struct, array_like=True, tag="announcement"):
    """More segments than one message can carry the descriptors of, sent ahead of it."""

    segments: list[Announced]


class Batch(msgspec.Struct, array_like=True, tag="batch"):
    """Work: several messages, their contents, and what is new on this channel."""

    items: list[Item]
    contents: list[Content]
    layouts: list[LayoutHeader] = []
    segments: list[Announced] = []
    retired: list[int] = []


class Grant(msgspec.Struct, array_like=True, tag="grant"):
    """A segment large enough for the reply that asked for it."""

    slot: int
    segments: list[Announced] = []


class Result(msgspec.Struct, array_like=True, gc=False):
    """What became of one item: a reply, or an error code and reason."""

    seq: int
    seconds: float
    metadata: list[Any] | None = None
    content: Content | None = None
    error: tuple[int, str] | None = None
    state: State | None = None  # None: unchanged
    slot_kept: bool = False  # user code still holds memory of the slot


class Results(msgspec.Struct, array_like=True, tag="results"):
    """Finished items, and what is new on this channel."""

    results: list[Result]
    layouts: list[LayoutHeader] = []
    kept: list[int] = []  # keys of received segments that user code still holds


class Need(msgspec.Struct, array_like=True, tag="need"):
    """A reply does not fit into its slot; the worker waits for a larger one."""

    seq: int
    nbytes: int


ToWorker = Setup | Announcement | Batch | Grant
FromWorker = Results | Need

encode = msgspec.msgpack.Encoder().encode
decode_to_worker = msgspec.msgpack.Decoder(ToWorker).decode
decode_from_worker = msgspec.msgpack.Decoder(FromWorker).decode
encode_state = encode
decode_state = msgspec.msgpack.Decoder(tuple[list[Any], list[tuple[LayoutHeader, int]]]).decode
decode_records = msgspec.msgpack.Decoder(list[Any]).decode
