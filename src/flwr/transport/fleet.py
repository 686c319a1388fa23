"""The Fleet protocol: between SuperNodes and the SuperLink.

A node introduces itself (`HELLO`) and from then on keeps one `EXCHANGE` parked at the hub: it
brings finished replies up and new work down, and is the node's heartbeat.
"""

import msgspec

from flwr.transport.call import Access, Call
from flwr.transport.parts import (
    Body,
    Fab,
    Fault,
    Int64,
    Nothing,
    RunQuestion,
    RunSheet,
    Scalars,
    Seconds,
)

RENEW_SECONDS = 50.0  # an exchange is answered after that long at the latest; proxies cut at 60


class Hello(msgspec.Struct, frozen=True, omit_defaults=True):
    """A node's introduction. Its secret comes as the bearer token and is its identity."""

    instance: str  # of the process: the same one keeps its epoch when it says hello again
    node_config: Scalars = {}
    name: str = ""
    version: str = ""  # of this software


class Welcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """The node's id, and the number that fences its older processes."""

    node_id: Int64
    epoch: Int64
    renew: Seconds = RENEW_SECONDS


class Reply(msgspec.Struct, frozen=True, omit_defaults=True):
    """A finished message: content or error. Accepted once per message id."""

    message_id: str
    run_id: Int64
    meta: bytes = b""  # the reply's metadata (wire), opaque to the hub
    body: Body | None = None
    error: Fault | None = None
    seconds: Seconds = 0.0  # that the ClientApp worked


class Exchange(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a node has finished, holds and can take."""

    epoch: Int64
    done: list[Reply] = []
    holding: list[str] = []  # received and not answered: everything else is handed out again
    runs: list[Int64] = []  # of which it keeps contexts, workers or objects
    capacity: Int64 = 0  # how much more work it takes; 0 while it is busy
    wait: Seconds = RENEW_SECONDS


class Work(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message for the node."""

    message_id: str
    run_id: Int64
    meta: bytes  # the message's metadata (wire), opaque to the hub
    body: Int64  # index into the answer's bodies
    age: Seconds = 0.0  # seconds since the hub got it: the node's clock may be wrong
    ttl: float = 0.0  # seconds that it lives, from then


class Exchanged(msgspec.Struct, frozen=True, omit_defaults=True):
    """New work, and what became of the node's replies."""

    work: list[Work] = []
    bodies: list[Body] = []
    accepted: list[str] = []  # of `done`, these are on the hub's disk or were there before
    dropped: list[str] = []  # of `holding` and `done`, these are wanted no more
    ended_runs: list[Int64] = []  # of `runs`: their workers, contexts and objects may go
    retry_after: Seconds = 0.0  # the hub is going down: come back then


class Leave(msgspec.Struct, frozen=True, omit_defaults=True):
    """A clean goodbye: the node is offline at once."""

    epoch: Int64


HELLO = Call("fleet", "hello", Hello, Welcome, Access.OPEN, "Introduce a node.")
EXCHANGE = Call(
    "fleet", "exchange", Exchange, Exchanged, Access.NODE, "Bring replies, and wait for work."
)
LEAVE = Call("fleet", "leave", Leave, Nothing, Access.NODE, "Say goodbye.")
RUN = Call("fleet", "run", RunQuestion, RunSheet, Access.NODE, "Describe a run of the node's work.")
FAB = Call("fleet", "fab", RunQuestion, Fab, Access.NODE, "Fetch the app of such a run.")

CALLS = (HELLO, EXCHANGE, LEAVE, RUN, FAB)
