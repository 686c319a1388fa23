"""What is known of a run, gathered from its events for `flwr.runtime.diagnosis`."""

import statistics
from collections import deque
from dataclasses import dataclass, field

from flwr.app.events import (
    Event,
    Exchange,
    ModelSpoiled,
    NodesAwaited,
    RoundFinished,
    RoundStarted,
    RunFinished,
)

MOST_FAILURES = 20  # that are kept; the rest are counted
_LAST_EXCHANGES = 6  # whose slowest nodes are told


@dataclass(frozen=True, slots=True)
class NodeFailure:
    """A message that came back as an error.

    Attributes
    ----------
    node_id : int
        From which node.
    message_type : str
        Of which message.
    round : int
        In which round; 0 if the app has none.
    error : str
        ``Type: message`` in the first line, then the end of the traceback.
    """

    node_id: int
    message_type: str
    round: int
    error: str

    @property
    def summary(self) -> str:
        """Its first line."""
        return self.error.partition("\n")[0]


@dataclass(frozen=True, slots=True)
class OpenMessage:
    """A message that a node has not answered yet.

    Attributes
    ----------
    node_id : int
        The node.
    message_type : str
        Of the message.
    seconds : float
        Since it was sent.
    online : bool
        Whether the node is connected.
    handed_out : bool
        Whether the node has it.
    busy_with : int
        Another run, whose message the node works on before it takes this one; 0 if there is none.
    """

    node_id: int
    message_type: str
    seconds: float
    online: bool
    handed_out: bool
    busy_with: int = 0


@dataclass(frozen=True, slots=True)
class Pace:
    """How long the nodes took for the messages of one exchange.

    Attributes
    ----------
    round : int
        In which round.
    message_type : str
        Of the messages.
    seconds : float
        Until the last reply was there.
    slowest : int
        The node that worked longest.
    longest, median : float
        For how many seconds it, and the one in the middle, worked.
    """

    round: int
    message_type: str
    seconds: float
    slowest: int
    longest: float
    median: float


@dataclass
class Told:
    """What the events of a run have told so far.

    Attributes
    ----------
    round : int
        Which is being run, or was run last.
    rounds_done, rounds : int
        How many are done, and how many there will be (0: not known).
    messages, failure_count : int
        How many messages were answered, and how many of them by errors.
    failures : list of NodeFailure
        The first of those.
    by_kind : dict of str to tuple of (int, int)
        How many messages of each kind (``train``, …) were answered, and by errors.
    awaited : tuple of (int, int) or None
        How many nodes are connected and how many are waited for, if that is what a run does.
    spoiled : ModelSpoiled or None
        Why the model is useless.
    paces : deque of Pace
        Of the last exchanges.
    """

    round: int = 0
    rounds_done: int = 0
    rounds: int = 0
    messages: int = 0
    failure_count: int = 0
    failures: list[NodeFailure] = field(default_factory=list)
    by_kind: dict[str, tuple[int, int]] = field(default_factory=dict)
    awaited: tuple[int, int] | None = None
    spoiled: ModelSpoiled | None = None
    paces: deque[Pace] = field(default_factory=lambda: deque(maxlen=_LAST_EXCHANGES))

    def add(self, event: Event) -> None:
        """Take note of an event."""
        if not isinstance(event, RunFinished):
            self.awaited = None
        match event:
            case NodesAwaited(connected=connected, count=count):
                self.awaited = connected, count
            case RoundStarted(round=number, of=of):
                self.round, self.rounds = number, of
            case RoundFinished(round=number):
                self.rounds_done = number
            case Exchange():
                self._add_exchange(event)
            case ModelSpoiled():
                self.spoiled = self.spoiled or event

    def _add_exchange(self, event: Exchange) -> None:
        self.messages += len(event.outcomes)
        kind = event.message_type.partition(".")[0]
        messages, failures = self.by_kind.get(kind, (0, 0))
        failures += sum(outcome.error is not None for outcome in event.outcomes)
        self.by_kind[kind] = messages + len(event.outcomes), failures
        for outcome in event.outcomes:
            if outcome.error is None:
                continue
            self.failure_count += 1
            if len(self.failures) < MOST_FAILURES:
                self.failures.append(
                    NodeFailure(outcome.node_id, event.message_type, self.round, outcome.error)
                )
        if event.outcomes:
            slowest = max(event.outcomes, key=lambda outcome: outcome.seconds)
            median = statistics.median(outcome.seconds for outcome in event.outcomes)
            self.paces.append(
                Pace(
                    self.round,
                    event.message_type,
                    event.seconds,
                    slowest.node_id,
                    slowest.seconds,
                    median,
                )
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All that a diagnosis is made from.

    Attributes
    ----------
    run_id : int
        The run.
    state : str
        ``pending``, ``starting``, ``running``, ``finished:failed``, …
    details : str
        What is recorded of its end: first line and, if known, the end of the traceback.
    told : Told
        By its events.
    in_place : bool
        Whether it ran on the machine of the command.
    elapsed, quiet : float
        Seconds since it began, and since it told anything.
    finished_at : str
        When it ended, for people to read; an empty text if it has not, or that is not known.
    online : int or None
        How many nodes are connected; None if it does not matter.
    names : dict of int to str
        Of nodes.
    open : tuple of OpenMessage
        What is not answered yet.
    log_tail : str
        The end of what it printed.
    """

    run_id: int
    state: str
    details: str = ""
    told: Told = field(default_factory=Told)
    in_place: bool = True
    elapsed: float = 0.0
    quiet: float = 0.0
    finished_at: str = ""
    online: int | None = None
    names: dict[int, str] = field(default_factory=dict)
    open: tuple[OpenMessage, ...] = ()
    log_tail: str = ""
