"""The AppIo protocol: between the app process of a run and the SuperLink.

The first part is for ServerApps (and ``flwr-simulation``), whose token names run and attempt; the
second for those who launch such processes (``flower-superexec``, ``flwr-serverapp``).
"""

import msgspec

from flwr.transport.call import Access, Call
from flwr.transport.fleet import RENEW_SECONDS
from flwr.transport.parts import (
    Body,
    Fab,
    Fault,
    Int64,
    Nothing,
    Plain,
    RunQuestion,
    RunSheet,
    Scalars,
    Seconds,
)


class Inputs(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an app process begins with. Asking for them makes the run `running`."""

    sheet: RunSheet
    attempt: Int64
    simulation: Plain | None = None  # the options of a run that is a simulation


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message to a node."""

    message_id: str  # derived, see `runtime.ids`: the same again after a restart
    node_id: Int64
    message_type: str
    group_id: str = ""
    ttl: Seconds = 43200.0
    meta: bytes = b""  # its metadata (wire), opaque to the hub
    body: Int64 = 0  # index into the call's bodies
    scope: Int64 = 0


class Collect(msgspec.Struct, frozen=True, omit_defaults=True):
    """Wait for replies."""

    after: Int64 = 0  # the sequence number of the last reply that is known
    atleast: Int64 = 1  # answer when so many are there, or the time is up
    limit: Int64 = 1000
    wait: Seconds = RENEW_SECONDS


class Push(msgspec.Struct, frozen=True, omit_defaults=True):
    """Send messages, and wait for replies in the same call if wanted."""

    messages: list[Message]
    bodies: list[Body]
    collect: Collect | None = None


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One reply."""

    seq: Int64  # in the order of commits
    message_id: str
    node_id: Int64
    meta: bytes = b""
    body: Body | None = None
    error: Fault | None = None
    seconds: Seconds = 0.0


class Refused(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message that was not taken, and why; with an error code, it stands for its reply."""

    message_id: str
    reason: str
    code: Int64 = 0  # 5: there is no such node; 0: it is known with another content


class Pushed(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of the messages: those not named are new."""

    known: list[str] = []
    refused: list[Refused] = []
    replies: list[Answer] = []


class Collected(msgspec.Struct, frozen=True, omit_defaults=True):
    """The replies after the cursor, in order."""

    replies: list[Answer] = []


class NodeQuestion(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ask for nodes; wait until so many are connected."""

    atleast: Int64 = 0
    wait: Seconds = 0.0


class Node(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of a node."""

    node_id: Int64
    name: str = ""
    online: bool = True  # connected, or away for less than a minute
    node_config: Scalars = {}
    online_since: str = ""
    offline_since: str = ""
    created_at: str = ""


class Nodes(msgspec.Struct, frozen=True, omit_defaults=True):
    """The nodes that are online, by id."""

    nodes: list[Node] = []


class Checkpoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """State to go on from, and the replies that are needed no more: committed as one.

    A scope is ``main`` (0) or the k-th ``start`` of a strategy in it (k).
    """

    scope: Int64
    step: Int64  # the number of this checkpoint in its scope, from 0
    state: Body  # of the strategy, or empty
    context: Body  # ``context.state`` at that moment
    release: list[str] = []  # ids of messages whose replies may go, or that nobody waits for


class ScopeQuestion(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which scope."""

    scope: Int64 = 0


class Restored(msgspec.Struct, frozen=True, omit_defaults=True):
    """The newest checkpoint of a scope, if there is one."""

    checkpoint: Checkpoint | None = None


class Told(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event: its kind and fields, as the store writes them."""

    at: Seconds
    kind: str
    body: bytes


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """Events and printed text. An empty one is a sign of life."""

    seq: Int64  # of the report in this attempt, from 1; one that is known is not added again
    events: list[Told] = []
    text: str = ""


class Reported(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether the run goes on."""

    stop: bool = False


class Finish(msgspec.Struct, frozen=True, omit_defaults=True):
    """The end of a run."""

    outcome: str  # completed, failed or stopped
    details: str = ""
    exit_code: Int64 = 0  # the documented one, see errors.py
    context: Body | None = None


class Ended(msgspec.Struct, frozen=True, omit_defaults=True):
    """An app process that is gone: its exit status, or the negative number of a signal."""

    run_id: Int64
    attempt: Int64
    status: Int64
    tail: str = ""  # the end of what it printed


class Launched(msgspec.Struct, frozen=True, omit_defaults=True):
    """An app process that goes on."""

    run_id: Int64
    attempt: Int64


class Launching(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a launcher has running, what has ended, and how many more it can start."""

    instance: str
    ended: list[Ended] = []
    holding: list[Launched] = []
    capacity: Int64 = 0
    kinds: tuple[str, ...] = ("serverapp",)  # serverapp, simulation
    wait: Seconds = RENEW_SECONDS


class Launch(msgspec.Struct, frozen=True, omit_defaults=True):
    """An app process to start, with the token of this attempt."""

    run_id: Int64
    attempt: Int64
    token: str
    kind: str = "serverapp"


class Launches(msgspec.Struct, frozen=True, omit_defaults=True):
    """Processes to start and to end."""

    start: list[Launch] = []
    stop: list[Launched] = []
    retry_after: Seconds = 0.0


INPUTS = Call("app", "inputs", Nothing, Inputs, Access.APP, "Begin: fetch the run's inputs.")
FAB = Call("app", "fab", RunQuestion, Fab, Access.APP, "Fetch the run's app.")
PUSH = Call("app", "push", Push, Pushed, Access.APP, "Send messages to nodes.")
COLLECT = Call("app", "collect", Collect, Collected, Access.APP, "Wait for replies.")
NODES = Call("app", "nodes", NodeQuestion, Nodes, Access.APP, "List nodes, or wait for them.")
CHECKPOINT = Call("app", "checkpoint", Checkpoint, Nothing, Access.APP, "Commit a checkpoint.")
RESTORE = Call("app", "restore", ScopeQuestion, Restored, Access.APP, "Fetch a checkpoint.")
REPORT = Call("app", "report", Report, Reported, Access.APP, "Tell events and output.")
FINISH = Call("app", "finish", Finish, Nothing, Access.APP, "End the run.")
LAUNCH = Call("app", "launch", Launching, Launches, Access.OPEN, "Wait for processes to launch.")

CALLS = (INPUTS, FAB, PUSH, COLLECT, NODES, CHECKPOINT, RESTORE, REPORT, FINISH, LAUNCH)
