"""The life of a run as a table: (state, event) → state. Pure: no clock, no I/O."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from flwr.errors import RunStateError


class RunState(StrEnum):
    """Where a run stands; the text is what commands show."""

    PENDING = "pending"
    STARTING = "starting"
    RUNNING = "running"
    COMPLETED = "finished:completed"
    FAILED = "finished:failed"
    STOPPED = "finished:stopped"

    @property
    def status(self) -> str:
        """``pending``, ``starting``, ``running`` or ``finished``."""
        return self.value.partition(":")[0]

    @property
    def sub_status(self) -> str:
        """``completed``, ``failed`` or ``stopped`` once finished, else an empty text."""
        return self.value.partition(":")[2]

    @property
    def is_live(self) -> bool:
        """Whether the run has not finished."""
        return self in LIVE_STATES


class RunEvent(StrEnum):
    """What happens to a run."""

    START = "start"
    RUN = "run"
    COMPLETE = "complete"
    FAIL = "fail"
    STOP = "stop"


LIVE_STATES = frozenset({RunState.PENDING, RunState.STARTING, RunState.RUNNING})

MOVES: Mapping[tuple[RunState, RunEvent], RunState] = MappingProxyType(
    {
        (RunState.PENDING, RunEvent.START): RunState.STARTING,
        (RunState.STARTING, RunEvent.RUN): RunState.RUNNING,
        (RunState.RUNNING, RunEvent.COMPLETE): RunState.COMPLETED,
        **{(state, RunEvent.FAIL): RunState.FAILED for state in LIVE_STATES},
        **{(state, RunEvent.STOP): RunState.STOPPED for state in LIVE_STATES},
    }
)


def next_state(state: RunState, event: RunEvent) -> RunState:
    """Return the state that `event` leads to.

    Raises
    ------
    RunStateError
        If the event cannot happen in `state`.
    """
    try:
        return MOVES[state, event]
    except KeyError:
        possible = ", ".join(sorted(e for s, e in MOVES if s is state))
        rest = f"what can happen to it: {possible}" if possible else "it has ended"
        raise RunStateError(f"A run that is {state} cannot {event}; {rest}.") from None
