"""What a run tells about itself while it goes on: plain values only.

A grid or a strategy emits these; the run's database, the progress display and the summary read
them.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

Phase: TypeAlias = Literal["train", "evaluate", "query"]
MetricValues: TypeAlias = dict[str, int | float | list[int] | list[float]]


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run begins.

    Attributes
    ----------
    app : str
        Its name.
    nodes : int
        Size of the federation.
    workers : int
        How many clients run at the same time.
    """

    app: str
    nodes: int
    workers: int


@dataclass(frozen=True, slots=True)
class RoundStarted:
    """Round `round` of `of` begins."""

    round: int
    of: int


@dataclass(frozen=True, slots=True)
class NodeOutcome:
    """How one node fared with one message.

    Attributes
    ----------
    node_id : int
        The node.
    seconds : float
        Time its app took; 0 if it never ran.
    error : str or None
        ``Type: message`` in the first line, then the traceback's end; None: it answered.
    """

    node_id: int
    seconds: float
    error: str | None


@dataclass(frozen=True, slots=True)
class Exchange:
    """Messages were sent and answered; emitted by the grid.

    Attributes
    ----------
    message_type, group_id : str
        Of the messages.
    seconds : float
        From the first push to the last reply.
    outcomes : list of NodeOutcome
        One for each message.
    """

    message_type: str
    group_id: str
    seconds: float
    outcomes: list[NodeOutcome]


@dataclass(frozen=True, slots=True)
class NodeMetrics:
    """The metrics one node replied with."""

    node_id: int
    metrics: MetricValues


@dataclass(frozen=True, slots=True)
class Aggregated:
    """The replies of a phase became one; emitted by the strategy.

    Attributes
    ----------
    round : int
        Which round.
    phase : {"train", "evaluate", "query"}
        Which part of it.
    replies, failures : int
        How many nodes answered, and how many did not.
    metrics : dict
        Aggregated.
    nodes : list of NodeMetrics
        What each node said.
    """

    round: int
    phase: Phase
    replies: int
    failures: int
    metrics: MetricValues
    nodes: list[NodeMetrics]


@dataclass(frozen=True, slots=True)
class ServerEvaluated:
    """The server evaluated the global model after a round (0: before the first)."""

    round: int
    metrics: MetricValues


@dataclass(frozen=True, slots=True)
class RoundFinished:
    """Round `round` of `of` took `seconds`."""

    round: int
    of: int
    seconds: float


@dataclass(frozen=True, slots=True)
class NodesAwaited:
    """A run waits until `count` nodes are connected; `connected` are. Told now and then."""

    connected: int
    count: int


@dataclass(frozen=True, slots=True)
class ModelSpoiled:
    """The model is useless from round `round` on; emitted by the strategy.

    Attributes
    ----------
    round : int
        After which it was noticed.
    reason : str
        What is in it, such as NaN in an array, and by which nodes.
    """

    round: int
    reason: str


@dataclass(frozen=True, slots=True)
class RunFinished:
    """A run is over.

    Attributes
    ----------
    status : str
        ``completed``, ``failed`` or ``stopped``.
    details : str
        The first cause of a failure.
    """

    status: str
    details: str


Event: TypeAlias = (
    RunStarted
    | RoundStarted
    | Exchange
    | Aggregated
    | ServerEvaluated
    | RoundFinished
    | NodesAwaited
    | ModelSpoiled
    | RunFinished
)
