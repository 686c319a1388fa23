"""The life of a run, as a table."""

import itertools

import pytest

from flwr.errors import RunStateError
from flwr.store.lifecycle import RunEvent, RunState, next_state

PENDING, STARTING, RUNNING = RunState.PENDING, RunState.STARTING, RunState.RUNNING

MOVES = {
    (PENDING, RunEvent.START): STARTING,
    (PENDING, RunEvent.FAIL): RunState.FAILED,
    (PENDING, RunEvent.STOP): RunState.STOPPED,
    (STARTING, RunEvent.RUN): RUNNING,
    (STARTING, RunEvent.FAIL): RunState.FAILED,
    (STARTING, RunEvent.STOP): RunState.STOPPED,
    (RUNNING, RunEvent.COMPLETE): RunState.COMPLETED,
    (RUNNING, RunEvent.FAIL): RunState.FAILED,
    (RUNNING, RunEvent.STOP): RunState.STOPPED,
}


@pytest.mark.parametrize(("state", "event"), list(itertools.product(RunState, RunEvent)))
def test_every_pair_of_state_and_event(state: RunState, event: RunEvent) -> None:
    if (state, event) in MOVES:
        assert next_state(state, event) is MOVES[state, event]
    else:
        with pytest.raises(RunStateError, match=f"{state} cannot {event}"):
            next_state(state, event)


def test_an_impossible_move_says_what_is_possible() -> None:
    with pytest.raises(RunStateError, match="can happen to it: complete, fail, stop"):
        next_state(RUNNING, RunEvent.START)
    with pytest.raises(RunStateError, match="finished:completed cannot .*; it has ended"):
        next_state(RunState.COMPLETED, RunEvent.STOP)


@pytest.mark.parametrize("state", list(RunState))
def test_the_text_of_a_state_is_its_status_and_sub_status(state: RunState) -> None:
    assert str(state) == ":".join(filter(None, [state.status, state.sub_status]))
    assert state.is_live is (state.status != "finished")
