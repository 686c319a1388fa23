"""What every store does, whatever its dialect."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

import msgspec
import pytest
from sample_runs import new_run
from sqlalchemy import insert

from flwr.app.events import (
    Aggregated,
    Event,
    RoundFinished,
    RoundStarted,
    RunStarted,
    ServerEvaluated,
)
from flwr.errors import RunNotFoundError, RunStateError, StoreError
from flwr.store import RunEvent, RunState, Store, UnknownEvent, new_run_id
from flwr.store.schema import events as events_table


def test_a_run_is_created_pending_and_reads_back_whole(store: Store) -> None:
    new = new_run()
    run = store.create_run(new)
    assert asdict(new).items() <= asdict(run).items()
    assert (run.state, run.status, run.sub_status) == (RunState.PENDING, "pending", "")
    assert run.pending_at.endswith("+00:00")
    assert (run.starting_at, run.running_at, run.finished_at) == (None, None, None)
    assert store.run(run.run_id) == run


@pytest.mark.parametrize("run_id", [1, 2**31, 2**53 + 1, 2**63 - 1])
def test_ids_of_63_bits_come_back_exactly(store: Store, run_id: int) -> None:
    store.create_run(new_run(run_id))
    store.record(run_id, RoundStarted(round=1, of=1))
    store.flush()
    assert store.run(run_id).run_id == run_id
    assert len(store.events(run_id)) == 1


@pytest.mark.parametrize("run_id", [0, -1, 2**63])
def test_other_ids_are_refused(store: Store, run_id: int) -> None:
    with pytest.raises(StoreError, match=f"{run_id} is not a positive 63-bit number"):
        store.create_run(new_run(run_id))


def test_new_ids_are_positive_63_bit_numbers_and_differ() -> None:
    ids = {new_run_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(0 < run_id < 2**63 for run_id in ids)
    assert max(ids) > 2**60


def test_an_id_is_used_once(store: Store) -> None:
    run = store.create_run(new_run())
    with pytest.raises(StoreError, match=f"is a run {run.run_id} already"):
        store.create_run(new_run(run.run_id))


def test_moves_stamp_the_time_of_each_state(store: Store) -> None:
    run_id = store.create_run(new_run()).run_id
    for second, event in enumerate([RunEvent.START, RunEvent.RUN, RunEvent.COMPLETE], start=1):
        store.move(run_id, event, at=second)
    run = store.run(run_id)
    assert (run.state, run.status, run.sub_status) == (
        "finished:completed",
        "finished",
        "completed",
    )
    assert run.starting_at == "1970-01-01T00:00:01+00:00"
    assert run.running_at == "1970-01-01T00:00:02+00:00"
    assert run.finished_at == run.changed_at == "1970-01-01T00:00:03+00:00"


def test_a_failure_keeps_its_details(store: Store) -> None:
    run_id = store.create_run(new_run()).run_id
    run = store.move(run_id, RunEvent.FAIL, "ValueError: \udcff in 'é'")
    assert run.details == "ValueError: ? in 'é'"
    assert run == store.run(run_id)


def test_an_impossible_move_names_the_run_and_changes_nothing(store: Store) -> None:
    before = store.create_run(new_run())
    with pytest.raises(RunStateError, match=f"Run {before.run_id}: .* pending cannot complete"):
        store.move(before.run_id, RunEvent.COMPLETE)
    assert store.run(before.run_id) == before


def test_elapsed_counts_from_running_to_the_end_or_now(store: Store) -> None:
    run_id = store.create_run(new_run()).run_id
    assert store.run(run_id).elapsed(now=2e9) == 0.0
    store.move(run_id, RunEvent.START, at=1e9)
    assert store.run(run_id).elapsed(now=2e9) == 0.0
    store.move(run_id, RunEvent.RUN, at=1e9 + 1)
    assert store.run(run_id).elapsed(now=1e9 + 3.5) == 2.5
    store.move(run_id, RunEvent.STOP, at=1e9 + 11)
    assert store.run(run_id).elapsed(now=2e9) == 10.0


def test_runs_come_newest_first_and_no_more_than_asked(store: Store) -> None:
    created = [store.create_run(new_run()).run_id for _ in range(5)]
    assert [run.run_id for run in store.runs()] == created[::-1]
    assert [run.run_id for run in store.runs(limit=2)] == created[:2:-1]


def test_live_runs_are_those_that_have_not_finished(store: Store) -> None:
    pending, running, failed = (store.create_run(new_run()).run_id for _ in range(3))
    store.move(running, RunEvent.START)
    store.move(running, RunEvent.RUN)
    store.move(failed, RunEvent.FAIL)
    assert [run.run_id for run in store.runs(live=True)] == [running, pending]


@pytest.mark.parametrize("unknown", [12345678901234567, 2**64 - 1, 0, -5])
def test_an_unknown_run_is_named_with_the_nearest_ids(store: Store, unknown: int) -> None:
    store.create_run(new_run(12345678901234568))
    for call in (store.run, store.events):
        with pytest.raises(RunNotFoundError, match=f"(?s)no run {unknown}.*12345678901234568"):
            call(unknown)
    with pytest.raises(RunNotFoundError, match=f"no run {unknown}"):
        store.move(unknown, RunEvent.START)
    with pytest.raises(RunNotFoundError, match=f"no run {unknown}"):
        store.record(unknown, RoundStarted(round=1, of=1))


def test_an_unknown_run_in_an_empty_store(store: Store) -> None:
    assert store.runs() == []
    with pytest.raises(RunNotFoundError, match="There is no run yet"):
        store.run(1)


def test_events_come_back_in_order_with_number_and_time(store: Store) -> None:
    run_id = store.create_run(new_run()).run_id
    other = store.create_run(new_run()).run_id
    sent: list[Event] = [RoundStarted(round=number, of=2500) for number in range(2500)]
    for event in sent:
        store.record(run_id, event)
        store.record(other, RunStarted(app="a", nodes=1, workers=1))
    store.flush()
    read = store.events(run_id)
    assert [recorded.event for recorded in read] == sent
    assert [recorded.seq for recorded in read] == list(range(1, 2501))
    assert [recorded.at for recorded in read] == sorted(recorded.at for recorded in read)
    assert store.events(run_id, after=2498) == read[2498:]
    assert store.events(run_id, after=2500) == []


def test_events_tell_how_far_a_run_is(store: Store) -> None:
    run_id = store.create_run(new_run()).run_id
    store.record(run_id, RunStarted(app="a", nodes=10, workers=2))
    store.record(run_id, RoundFinished(round=1, of=3, seconds=0.5))
    store.flush()
    store.record(run_id, Aggregated(2, "train", 10, 0, {"loss": 0.25}, []))
    store.record(run_id, ServerEvaluated(round=2, metrics={"accuracy": 0.5}))
    store.record(run_id, RoundFinished(round=2, of=3, seconds=0.5))
    store.flush()
    run = store.run(run_id)
    assert (run.nodes, run.rounds_done, run.rounds) == (10, 2, 3)
    assert run.metrics == {"train": {"loss": 0.25}, "server": {"accuracy": 0.5}}
    assert run.last_event_at is not None
    assert run.last_sign_of_life() == pytest.approx(store.events(run_id)[-1].at, abs=1e-5)


def test_a_move_is_committed_behind_the_events_recorded_before_it(store: Store) -> None:
    run_id = store.create_run(new_run()).run_id
    store.move(run_id, RunEvent.START)
    for done in range(1, 4):
        store.record(run_id, RoundFinished(round=done, of=3, seconds=0.5))
    assert store.move(run_id, RunEvent.RUN).rounds_done == 3
    assert len(store.events(run_id)) == 3


def test_an_event_of_a_newer_version_is_read_as_unknown(store: Store) -> None:
    run_id = store.create_run(new_run()).run_id
    body = msgspec.msgpack.encode({"rank": 3})
    row = {"run_id": run_id, "seq": 1, "at": 5.0, "kind": "node-promoted", "body": body}
    store.writer.call(lambda connection: connection.execute(insert(events_table), [row]))
    assert store.events(run_id) == [(1, 5.0, UnknownEvent("node-promoted", {"rank": 3}))]


def test_many_threads_share_a_store(store: Store) -> None:
    def life(_: int) -> int:
        run_id = store.create_run(new_run()).run_id
        store.move(run_id, RunEvent.START)
        for number in range(1, 51):
            store.record(run_id, RoundFinished(round=number, of=50, seconds=0.0))
        store.move(run_id, RunEvent.RUN)
        return store.move(run_id, RunEvent.COMPLETE).rounds_done

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(life, range(40))) == [50] * 40
    assert {run.state for run in store.runs()} == {RunState.COMPLETED}


def test_a_closed_store_says_so(store: Store) -> None:
    run_id = store.create_run(new_run()).run_id
    store.close()
    store.close()
    with pytest.raises(StoreError, match="is closed"):
        store.record(run_id, RoundStarted(round=1, of=1))
    with pytest.raises(StoreError, match="is closed"):
        store.create_run(new_run())
    with pytest.raises(StoreError, match="is closed"):
        store.runs()


def test_closing_ends_the_writing_thread(store: Store) -> None:
    store.close()
    assert not [t for t in threading.enumerate() if t.name == "flwr-store-writer"]
