"""The Control protocol: between commands (``flwr``) and the SuperLink."""

import msgspec

from flwr.transport.appio import Nodes
from flwr.transport.call import Access, Call
from flwr.transport.fleet import RENEW_SECONDS
from flwr.transport.parts import Fab, Int64, Nothing, Plain, RunQuestion, Scalars, Seconds


class StartRun(msgspec.Struct, frozen=True, omit_defaults=True):
    """An app to run. The id is the caller's: asking again starts no second run."""

    run_id: Int64
    fab: bytes
    overrides: Scalars = {}
    federation: str = ""
    options: Plain = {}  # of a simulation


class Run(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run as commands show it; the fields are those of ``flwr.store.Run``, times ISO 8601."""

    run_id: Int64
    fab_id: str
    fab_version: str
    fab_hash: str
    federation: str
    state: str  # pending, starting, running, finished:completed, finished:failed, …
    details: str = ""
    pending_at: str = ""
    starting_at: str | None = None
    running_at: str | None = None
    finished_at: str | None = None
    nodes: Int64 | None = None
    rounds_done: Int64 = 0
    rounds: Int64 | None = None
    failures: Int64 = 0
    client_seconds: Seconds = 0.0
    metrics: dict[str, Plain] = {}
    exit_code: Int64 = 0  # of its ServerApp, see errors.py
    bytes_in: Int64 = 0  # from nodes
    bytes_out: Int64 = 0  # to nodes


class RunsQuestion(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which runs: one, or the newest ones."""

    run_id: Int64 | None = None
    limit: Int64 | None = None


class Runs(msgspec.Struct, frozen=True, omit_defaults=True):
    """Runs, newest first."""

    runs: list[Run] = []
    now: Seconds = 0.0  # the hub's clock, Unix seconds
    disk_free: Int64 | None = None  # bytes where the hub keeps its state


class NodeQuestion(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which node."""

    node_id: Int64


class Follow(msgspec.Struct, frozen=True, omit_defaults=True):
    """Wait for what comes after a number."""

    run_id: Int64
    after: Int64 = 0
    limit: Int64 = 1000
    wait: Seconds = RENEW_SECONDS


class LogEntry(msgspec.Struct, frozen=True, omit_defaults=True):
    """Printed text."""

    seq: Int64
    at: Seconds
    text: str


class LogPart(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came; `run` is there once the run has finished and all was given."""

    entries: list[LogEntry] = []
    run: Run | None = None


class RecordedEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event as the store keeps it."""

    seq: Int64
    at: Seconds
    kind: str
    body: bytes


class EventPart(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came; `run` is there once the run has finished and all was given."""

    events: list[RecordedEvent] = []
    run: Run | None = None


class OpenMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """A message that its node has not answered."""

    node_id: Int64
    message_type: str
    seconds: float  # since it was sent; less than 0 after a jump of the clock
    handed_out: bool = False  # whether the node has it
    away: bool = False  # whether the node has no connection, for some seconds or more
    busy_with: Int64 = 0  # another run, whose message the node works on before it takes this one


class OpenMessages(msgspec.Struct, frozen=True, omit_defaults=True):
    """The messages of a run that have not been answered, the oldest first."""

    messages: list[OpenMessage] = []


class Federation(msgspec.Struct, frozen=True, omit_defaults=True):
    """The federation of a SuperLink."""

    name: str
    is_simulation: bool = False  # runs have virtual nodes
    options: Plain = {}  # of simulations


START_RUN = Call("control", "start-run", StartRun, Run, Access.OPEN, "Submit an app to run.")
RUNS = Call("control", "list-runs", RunsQuestion, Runs, Access.OPEN, "List runs.")
STOP_RUN = Call("control", "stop-run", RunQuestion, Run, Access.OPEN, "Stop a run.")
LOG = Call("control", "stream-logs", Follow, LogPart, Access.OPEN, "Follow a run's output.")
EVENTS = Call("control", "stream-events", Follow, EventPart, Access.OPEN, "Follow its events.")
NODES = Call("control", "list-nodes", Nothing, Nodes, Access.OPEN, "List all nodes.")
FEDERATION = Call(
    "control", "federation", Nothing, Federation, Access.OPEN, "Describe the federation."
)
OPEN = Call(
    "control",
    "list-open-messages",
    RunQuestion,
    OpenMessages,
    Access.OPEN,
    "List a run's messages that nodes have not answered.",
)
FORGET_NODE = Call(
    "control", "forget-node", NodeQuestion, Nothing, Access.OPEN, "Forget a node that is offline."
)
FAB = Call("control", "fab", RunQuestion, Fab, Access.OPEN, "Fetch the app of a run.")

CALLS = (START_RUN, RUNS, STOP_RUN, LOG, EVENTS, NODES, FORGET_NODE, FEDERATION, OPEN, FAB)
