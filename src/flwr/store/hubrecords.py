"""What the hub's store takes and gives: frozen records, without any SQL. Times are Unix seconds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Self

from blake3 import blake3


class Principal(NamedTuple):
    """Who may know of an object: a node, or the app processes of a run."""

    kind: Literal["node", "run"]
    id: int

    def __str__(self) -> str:
        return f"{self.kind}-{self.id}"

    @classmethod
    def of(cls, text: str) -> "Principal":
        """Return the one that `str` wrote."""
        kind, _, id_ = text.partition("-")
        return cls("node" if kind == "node" else "run", int(id_))


class ObjectRef(NamedTuple):
    """An object that a content refers to."""

    object_id: str  # BLAKE3 of its bytes, 64 hexadecimal digits
    size: int  # bytes


@dataclass(frozen=True, slots=True)
class NewBody:
    """A content to keep: bytes that the store does not read, and the objects they refer to."""

    body_id: str  # BLAKE3 of `content`, 64 hexadecimal digits
    content: bytes
    objects: tuple[ObjectRef, ...] = ()

    @classmethod
    def of(cls, content: bytes, objects: Sequence[tuple[str, int]] = ()) -> Self:
        """Make one of a content's bytes and the ids and sizes of its objects."""
        refs = tuple(ObjectRef(*ref) for ref in dict(objects).items())
        return cls(blake3(content).hexdigest(), content, refs)

    @property
    def nbytes(self) -> int:
        """The size of the content, its objects included."""
        return len(self.content) + sum(ref.size for ref in self.objects)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """A node."""

    node_id: int
    epoch: int  # of its newest process
    name: str
    node_config: dict[str, Any]
    online: bool
    online_since: float | None
    offline_since: float | None
    created_at: float


@dataclass(frozen=True, slots=True)
class OpenRow:
    """A message that has not been answered."""

    run_id: int
    node_id: int
    message_type: str
    created: float  # Unix seconds
    handed_out: bool  # whether its node has it


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """A message to a node."""

    message_id: str
    node_id: int
    message_type: str
    body: int  # index into the call's bodies
    ttl: float = 43200.0
    meta: bytes = b""


class LeasedRow(NamedTuple):
    """A message that is handed to its node."""

    message_id: str
    run_id: int
    node_id: int
    meta: bytes
    body_id: str
    body: bytes
    created: float  # when the hub got it
    ttl: float


class RejectedRow(NamedTuple):
    """A message that was not taken. Code 5: there is no such node; 0: known, and another one."""

    message_id: str
    reason: str
    code: int


class Enqueued(NamedTuple):
    """What became of messages: those not named are new."""

    known: tuple[str, ...]
    refused: tuple[RejectedRow, ...]
    leased: tuple[LeasedRow, ...]  # to nodes that were parked
    next_expiry: float | None  # of the new ones


class Leased(NamedTuple):
    """Work for a node, and what it holds in vain."""

    rows: tuple[LeasedRow, ...]
    dropped: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewReply:
    """A reply of a node: a content, or an error."""

    message_id: str
    run_id: int
    meta: bytes = b""
    body: NewBody | None = None
    error_code: int | None = None
    error_reason: str = ""
    seconds: float = 0.0


class Answered(NamedTuple):
    """What became of replies."""

    accepted: tuple[str, ...]  # on disk, now or from before
    dropped: tuple[str, ...]  # nobody wants them
    missing: tuple[str, ...]  # not taken: objects are not here, or were not uploaded by this node
    runs: dict[int, int]  # how many new replies each run has


class AnswerRow(NamedTuple):
    """A reply for a run."""

    seq: int  # in the order of commits
    message_id: str
    node_id: int
    meta: bytes
    body: bytes | None
    error_code: int | None
    error_reason: str
    seconds: float


class Collected(NamedTuple):
    """Replies behind a number."""

    rows: list[AnswerRow]
    more: bool  # behind these: the limit was reached, or they are large


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCheckpoint:
    """State to go on from, and the messages that are needed no more."""

    scope: int
    step: int
    state: NewBody
    context: NewBody
    release: Sequence[str] = ()


class CheckpointRow(NamedTuple):
    """The newest checkpoint of a scope."""

    scope: int
    step: int
    state: bytes
    context: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedRow:
    """What the hub knows of a run beside what :class:`~flwr.store.Run` tells."""

    run_id: int
    kind: str  # serverapp, simulation
    attempt: int = 0  # the newest; 0: it was not launched yet
    launches: int = 0  # since the newest checkpoint or reply
    pid: int | None = None  # of the newest attempt, if recorded
    process_created: float | None = None
    launched_at: float | None = None
    checkpoints: int = 0
    exit_code: int = 0
    bytes_in: int = 0  # the size of contents from nodes
    bytes_out: int = 0  # and to nodes


class AppRow(NamedTuple):
    """Whose a token is."""

    run_id: int
    attempt: int
    newest: bool  # whether no later attempt has taken its place


class LogRow(NamedTuple):
    """Printed text."""

    seq: int
    at: float
    text: str


class EventRow(NamedTuple):
    """An event as it is kept."""

    seq: int
    at: float
    kind: str
    body: bytes
