"""What follows the end of an app process, and which nodes are there: pure decisions."""

import pytest

from flwr.superlink.attempts import (
    AFTER_START,
    MOST_DEATHS,
    MOST_KILLS,
    Process,
    Step,
    after_death,
    describe_end,
)
from flwr.superlink.presence import AWAY_SECONDS, Presence


def test_after_a_start_every_run_has_a_next_step() -> None:
    assert set(AFTER_START) == set(Process)


def test_a_process_that_is_still_there_is_not_doubled() -> None:
    assert AFTER_START[Process.HERE] is Step.WATCH
    assert AFTER_START[Process.ELSEWHERE] is Step.LISTEN


@pytest.mark.parametrize(
    ("status", "most"), [(1, MOST_DEATHS), (-11, MOST_DEATHS), (-9, MOST_KILLS), (None, MOST_KILLS)]
)
def test_deaths_without_progress_are_bounded(status: int | None, most: int) -> None:
    assert MOST_DEATHS < MOST_KILLS
    for deaths in range(1, most + 3):
        expected = Step.LAUNCH if deaths < most else Step.GIVE_UP
        assert after_death(deaths, status) is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [(-9, "was killed by signal 9"), (3, "ended with status 3"), (None, "nobody saw how")],
)
def test_how_a_process_ended_is_told(status: int | None, expected: str) -> None:
    assert expected in describe_end(status)


def test_a_node_with_a_request_open_is_online_for_ever() -> None:
    presence = Presence()
    assert presence.begin(7)
    assert presence.expire(1e9) == []
    assert presence.online() == [7]
    assert presence.deadline() is None


def test_a_node_is_away_from_the_end_of_its_last_request() -> None:
    presence = Presence()
    presence.begin(7)
    presence.begin(7)  # a second one overlaps the first
    presence.end(7, now=10.0)
    assert presence.deadline() is None
    presence.end(7, now=20.0)
    assert presence.deadline() == 20.0 + AWAY_SECONDS
    assert presence.expire(20.0 + AWAY_SECONDS - 0.1) == []
    assert presence.expire(20.0 + AWAY_SECONDS) == [7]
    assert 7 not in presence


def test_a_node_that_comes_back_in_time_was_never_offline() -> None:
    presence = Presence()
    presence.begin(7)
    presence.end(7, now=10.0)
    assert not presence.begin(7)
    assert presence.expire(1e9) == []


def test_nodes_from_before_a_restart_count_as_away_from_then() -> None:
    presence = Presence([3, 1], now=100.0)
    assert presence.online() == [1, 3]
    assert not presence.begin(3)
    assert presence.expire(100.0 + AWAY_SECONDS) == [1]


def test_a_node_that_says_goodbye_is_gone_at_once() -> None:
    presence = Presence()
    presence.begin(7)
    assert presence.leave(7)
    assert not presence.leave(7)
    presence.end(7, now=1.0)  # of the request that brought the goodbye
    assert len(presence) == 0


def test_those_away_longest_go_first() -> None:
    presence = Presence()
    for number, node_id in enumerate((5, 9, 2)):
        presence.begin(node_id)
        presence.end(node_id, now=float(number))
    assert presence.expire(AWAY_SECONDS + 1.0) == [5, 9]
    assert presence.deadline() == 2.0 + AWAY_SECONDS
