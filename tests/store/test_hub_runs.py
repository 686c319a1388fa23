"""Hosted runs: app processes and their attempts, checkpoints, reports, and the end."""

import msgspec
import pytest
from hub_desk import NOTHING, Desk, new_run

from flwr.app.events import Exchange, NodeOutcome, RoundFinished, RunStarted
from flwr.errors import RunNotFoundError, RunStateError, StoreError, SupersededError
from flwr.store import RunEvent, RunState
from flwr.store.hub import token_hash
from flwr.store.hubrecords import CheckpointRow, NewBody
from flwr.wire.events import encode

# --- beginning ---------------------------------------------------------------------------------


def test_asking_again_for_the_same_run_starts_no_second_one(desk: Desk) -> None:
    new = new_run()
    first = desk.do(desk.store.create_run(new, "simulation", b"fab", 5.0))
    assert first.state is RunState.PENDING
    assert desk.do(desk.store.create_run(new, "simulation", b"fab", 6.0)) == first
    other = new_run(run_id=new.run_id, fab_hash="cd" * 32)
    with pytest.raises(StoreError, match=f"another run {new.run_id}"):
        desk.do(desk.store.create_run(other, "simulation", b"other", 7.0))
    assert desk.do(desk.store.list_runs()) == [first]
    assert desk.do(desk.store.hosted([new.run_id, 77])).keys() == {new.run_id}


def test_the_app_of_a_run_is_kept_once(desk: Desk) -> None:
    for _ in range(2):
        desk.do(desk.store.create_run(new_run(fab_hash="ab"), "serverapp", b"the fab", 1.0))
    assert desk.do(desk.store.fab("ab")) == b"the fab"
    assert desk.do(desk.store.fab("cd")) is None


def test_each_launch_is_an_attempt_with_a_token_of_its_own(desk: Desk) -> None:
    new = new_run()
    desk.do(desk.store.create_run(new, "serverapp", b"", 1.0))
    first, token = desk.do(desk.store.launch(new.run_id, 2.0))
    assert desk.do(desk.store.run(new.run_id)).state is RunState.STARTING
    assert desk.do(desk.store.app_of(token_hash(token))) == (new.run_id, 1, True)
    second, newer = desk.do(desk.store.launch(new.run_id, 3.0))
    assert (first, second) == (1, 2)
    assert desk.do(desk.store.app_of(token_hash(token))) == (new.run_id, 1, False)
    assert desk.do(desk.store.app_of(token_hash(newer))) == (new.run_id, 2, True)
    assert desk.do(desk.store.app_of(token_hash("guessed"))) is None
    assert desk.do(desk.store.app_of(token)) is None  # the token itself is nowhere


def test_the_process_of_an_attempt_is_known_after_a_restart(kept: Desk) -> None:
    run_id = kept.run()
    kept.do(kept.store.record_process(run_id, 1, 4711, 99.5))
    kept.reopen()
    row = kept.do(kept.store.hosted([run_id]))[run_id]
    assert (row.kind, row.attempt, row.pid, row.process_created) == ("serverapp", 1, 4711, 99.5)
    assert row.launched_at == 1_000.0
    kept.do(kept.store.launch(run_id, 1_001.0))
    row = kept.do(kept.store.hosted([run_id]))[run_id]
    assert (row.attempt, row.pid, row.launched_at) == (2, None, 1_001.0)


def test_launches_are_counted_from_the_newest_checkpoint_or_reply_on(desk: Desk) -> None:
    run_id, node = desk.run(), desk.node()

    def launches() -> int:
        return desk.do(desk.store.hosted([run_id]))[run_id].launches

    assert launches() == 1
    desk.do(desk.store.launch(run_id, 1.0))
    assert launches() == 2
    desk.checkpoint(run_id, 0, attempt=2)
    assert launches() == 1
    desk.do(desk.store.launch(run_id, 1.0))
    desk.checkpoint(run_id, 0, attempt=3)  # the same again is no progress
    assert launches() == 2
    desk.checkpoint(run_id, 1, attempt=3)
    assert launches() == 1
    desk.put(run_id, node.node_id, "m1", attempt=3)
    desk.do(desk.store.launch(run_id, 1.0))
    desk.answer(node.node_id, run_id, "m1")
    assert launches() == 1
    desk.do(desk.store.launch(run_id, 1.0))
    desk.answer(node.node_id, run_id, "m1")  # nor is this
    assert launches() == 2


def test_beginning_again_changes_nothing_and_only_the_newest_attempt_may(desk: Desk) -> None:
    new = new_run()
    desk.do(desk.store.create_run(new, "serverapp", b"", 1.0))
    desk.do(desk.store.launch(new.run_id, 2.0))
    begun = desk.do(desk.store.begin_running(new.run_id, 1, 3.0))
    assert begun.state is RunState.RUNNING
    assert desk.do(desk.store.begin_running(new.run_id, 1, 4.0)) == begun
    desk.do(desk.store.launch(new.run_id, 5.0))
    with pytest.raises(SupersededError, match="attempt 2"):
        desk.do(desk.store.begin_running(new.run_id, 1, 6.0))
    assert desk.do(desk.store.begin_running(new.run_id, 2, 6.0)) == begun


def test_a_run_that_has_ended_or_is_not_hosted_is_not_launched(desk: Desk) -> None:
    run_id = desk.run()
    desk.do(desk.store.end_run(run_id, RunEvent.STOP, "", 0, 1.0))
    with pytest.raises(RunStateError, match="has ended"):
        desk.do(desk.store.launch(run_id, 2.0))
    local = desk.store.runs.create_run(new_run()).run_id
    with pytest.raises(RunNotFoundError, match=str(local)):
        desk.do(desk.store.launch(local, 2.0))
    assert desk.do(desk.store.run(local)).state is RunState.PENDING


# --- checkpoints -------------------------------------------------------------------------------


def test_the_newest_checkpoint_of_each_scope_is_restored(desk: Desk) -> None:
    run_id = desk.run()
    assert desk.do(desk.store.restore(run_id, 1)) is None
    for step in range(3):
        for scope in (0, 1):
            state, context = NewBody.of(b"s%d%d" % (scope, step)), NewBody.of(b"c%d" % step)
            desk.checkpoint(run_id, step, scope=scope, state=state, context=context)
    for scope in (0, 1):
        assert desk.do(desk.store.restore(run_id, scope)) == CheckpointRow(
            scope, 2, b"s%d2" % scope, b"c2"
        )
    assert desk.do(desk.store.hosted([run_id]))[run_id].checkpoints == 6


def test_a_checkpoint_that_comes_again_or_late_changes_nothing(desk: Desk) -> None:
    run_id = desk.run()
    desk.checkpoint(run_id, 0, state=NewBody.of(b"zero"))
    for _ in range(2):
        desk.checkpoint(run_id, 1, state=NewBody.of(b"one"))
    desk.checkpoint(run_id, 0, state=NewBody.of(b"zero"))
    row = desk.do(desk.store.restore(run_id, 1))
    assert row == (1, 1, b"one", b"nothing")
    assert desk.do(desk.store.hosted([run_id]))[run_id].checkpoints == 2


def test_a_checkpoint_releases_messages_with_their_replies(desk: Desk) -> None:
    run_id, node, other = desk.run(), desk.node("a"), desk.node("b")
    desk.put(run_id, node.node_id, "m1", "m2", "m3")
    desk.put(run_id, other.node_id, "m4", "m5")
    desk.answer(node.node_id, run_id, "m1", "m2")
    given = desk.checkpoint(run_id, 0, ["m1", "m3", "m4", "m4", "unheard of"])
    assert given == (node.node_id, other.node_id)  # where m3 and m4 were still open
    assert desk.checkpoint(run_id, 0, ["m1", "m3", "m4"]) == ()
    assert desk.answers(run_id) == ["m2"]
    assert desk.leased(other) == ["m5"]
    assert desk.answer(node.node_id, run_id, "m1", "m3").dropped == ("m1", "m3")


def test_a_checkpoint_releases_nothing_of_another_run(desk: Desk) -> None:
    run_id, other_run, node = desk.run(), desk.run(), desk.node()
    desk.put(other_run, node.node_id, "m1")
    desk.checkpoint(run_id, 0, ["m1"])
    assert desk.leased(node) == ["m1"]


def test_only_the_newest_attempt_of_a_live_run_commits_checkpoints(desk: Desk) -> None:
    run_id = desk.run()
    desk.checkpoint(run_id, 0, state=NewBody.of(b"kept"))
    desk.do(desk.store.launch(run_id, 1.0))
    with pytest.raises(SupersededError):
        desk.checkpoint(run_id, 1)
    assert desk.do(desk.store.restore(run_id, 1)) == (1, 0, b"kept", b"nothing")
    desk.do(desk.store.end_run(run_id, RunEvent.STOP, "", 0, 2.0))
    with pytest.raises(RunStateError):
        desk.checkpoint(run_id, 1, attempt=2)


def test_the_database_does_not_grow_with_rounds(kept: Desk) -> None:
    run_id, node = kept.run(), kept.node()
    sizes = []
    for step in range(60):
        id_ = f"m{step}"
        kept.put(run_id, node.node_id, id_, body=NewBody.of(bytes([step]) * 50_000))
        kept.answer(node.node_id, run_id, id_, body=NewBody.of(bytes([step, 1]) * 25_000))
        kept.checkpoint(run_id, step, [id_], state=NewBody.of(bytes([step, 2]) * 25_000))
        if step in {19, 59}:
            kept.reopen()  # what is in the log goes to the file
            assert kept.path is not None
            sizes.append(kept.path.stat().st_size)
    assert sizes[1] == sizes[0]


# --- reports -----------------------------------------------------------------------------------


def told(*events: object, at: float = 5.0) -> list[tuple[float, str, bytes]]:
    return [(at, *encode(event)) for event in events]  # type: ignore[arg-type]


def test_reports_add_events_and_text_once_each(desk: Desk) -> None:
    run_id = desk.run()
    report = desk.store.report
    outcomes = [NodeOutcome(1, 2.0, None), NodeOutcome(2, 3.0, "ValueError: no")]
    events = told(RunStarted("app", 2, 1), Exchange("train", "1", 3.0, outcomes))
    assert desk.do(report(run_id, 1, 1, events, "hello\n", 6.0))
    assert not desk.do(report(run_id, 1, 1, events, "hello\n", 7.0))  # its answer was lost
    assert desk.do(report(run_id, 1, 2, told(RoundFinished(1, 3, 0.5)), "", 8.0))
    assert desk.do(report(run_id, 1, 3, [], "wörld \ud800\n", 9.0))
    run = desk.do(desk.store.run(run_id))
    assert (run.nodes, run.rounds_done, run.rounds) == (2, 1, 3)
    assert (run.failures, run.client_seconds) == (1, 5.0)
    rows = desk.do(desk.store.events(run_id, 0, 10))
    assert [(row.seq, row.kind) for row in rows] == [
        (1, "run-started"),
        (2, "exchange"),
        (3, "round-finished"),
    ]
    assert desk.do(desk.store.events(run_id, 1, 1)) == rows[1:2]
    assert desk.store.runs.events(run_id)[2].event == RoundFinished(1, 3, 0.5)
    log = desk.do(desk.store.log(run_id, 0, 10))
    assert log == [(1, 6.0, "hello\n"), (2, 9.0, "wörld ?\n")]
    assert desk.do(desk.store.log(run_id, 1, 10)) == log[1:]


def test_each_attempt_numbers_its_reports_and_an_older_one_is_not_heard(desk: Desk) -> None:
    run_id = desk.run()
    for seq in (1, 2, 3):
        desk.do(desk.store.report(run_id, 1, seq, [], f"1.{seq}", 1.0))
    desk.do(desk.store.launch(run_id, 1.0))
    desk.do(desk.store.report(run_id, 2, 1, [], "2.1", 1.0))
    with pytest.raises(SupersededError):
        desk.do(desk.store.report(run_id, 1, 4, [], "1.4", 1.0))
    desk.do(desk.store.add_log(run_id, "the hub's own", 1.0))
    texts = [row.text for row in desk.do(desk.store.log(run_id, 0, 10))]
    assert texts == ["1.1", "1.2", "1.3", "2.1", "the hub's own"]


def test_the_last_words_of_a_run_that_was_stopped_are_kept(desk: Desk) -> None:
    run_id = desk.run()
    desk.do(desk.store.end_run(run_id, RunEvent.STOP, "", 0, 1.0))
    desk.do(desk.store.report(run_id, 1, 1, [], "Interrupted\n", 2.0))
    assert [row.text for row in desk.do(desk.store.log(run_id, 0, 10))] == ["Interrupted\n"]


@pytest.mark.parametrize(
    "body",
    [
        b"\xc1",
        msgspec.msgpack.encode(
            {
                "message_type": "train",
                "group_id": "1",
                "seconds": 1.0,
                "outcomes": [{"node_id": 1, "seconds": "many", "error": None}],
            }
        ),
    ],
)
def test_what_is_told_as_an_event_and_is_none_is_refused(desk: Desk, body: bytes) -> None:
    run_id = desk.run()
    with pytest.raises(StoreError, match="exchange"):
        desk.do(desk.store.report(run_id, 1, 1, [(1.0, "exchange", body)], "text", 1.0))
    assert desk.do(desk.store.log(run_id, 0, 10)) == []
    desk.do(desk.store.report(run_id, 1, 1, told(RoundFinished(1, 3, 0.5)), "", 1.0))
    assert desk.do(desk.store.run(run_id)).rounds_done == 1


def test_an_event_of_a_newer_version_is_kept(desk: Desk) -> None:
    run_id = desk.run()
    body = msgspec.msgpack.encode({"rank": 3})
    desk.do(desk.store.report(run_id, 1, 1, [(1.0, "node-promoted", body)], "", 1.0))
    assert desk.do(desk.store.events(run_id, 0, 9)) == [(1, 1.0, "node-promoted", body)]


def test_a_long_log_is_read_a_part_at_a_time(desk: Desk) -> None:
    run_id = desk.run()
    for seq in range(1, 4):
        desk.do(desk.store.report(run_id, 1, seq, [], str(seq) * (3 << 20), 1.0))
    assert [row.seq for row in desk.do(desk.store.log(run_id, 0, 10))] == [1, 2]
    assert [row.seq for row in desk.do(desk.store.log(run_id, 2, 10))] == [3]


# --- the end -----------------------------------------------------------------------------------


def test_the_end_of_a_run_takes_along_what_it_carried_and_leaves_the_others_alone(
    desk: Desk,
) -> None:
    node = desk.node()
    runs = [desk.run(), desk.run()]
    for run_id in runs:
        desk.put(run_id, node.node_id, f"{run_id}-1", f"{run_id}-2", body=NewBody.of(b"shared"))
        desk.answer(node.node_id, run_id, f"{run_id}-1", body=NewBody.of(b"same"))
        desk.checkpoint(run_id, 0, scope=1)
    ended, live = runs
    desk.do(desk.store.report(ended, 1, 1, told(RoundFinished(1, 3, 0.5)), "text", 6.0))
    run = desk.do(desk.store.end_run(ended, RunEvent.FAIL, "why", 201, 7.0, attempt=1))
    assert (run.state, run.details, run.rounds_done) == (RunState.FAILED, "why", 1)
    assert desk.do(desk.store.hosted([ended]))[ended].exit_code == 201
    assert desk.collect(ended) == []
    assert desk.do(desk.store.restore(ended, 1)) is None
    assert len(desk.do(desk.store.log(ended, 0, 9))) == 1
    assert [row.body for row in desk.lease(node).rows] == [b"shared"]
    assert [row.body for row in desk.collect(live)] == [b"same"]
    assert desk.do(desk.store.restore(live, 1)) is not None


def test_an_app_process_may_end_its_run_twice_but_not_after_it_was_superseded(desk: Desk) -> None:
    run_id = desk.run()
    desk.do(desk.store.launch(run_id, 1.0))
    end = desk.store.end_run
    with pytest.raises(SupersededError):
        desk.do(end(run_id, RunEvent.COMPLETE, "", 0, 2.0, attempt=1))
    ended = desk.do(end(run_id, RunEvent.COMPLETE, "", 0, 3.0, attempt=2))
    assert desk.do(end(run_id, RunEvent.COMPLETE, "", 0, 4.0, attempt=2)) == ended
    with pytest.raises(RunStateError, match="cannot stop"):
        desk.do(end(run_id, RunEvent.STOP, "", 0, 5.0))
    assert desk.do(desk.store.run(run_id)) == ended


def test_the_context_of_main_stays_readable(desk: Desk) -> None:
    given, from_checkpoint, none = desk.run(), desk.run(), desk.run()
    end = desk.store.end_run
    desk.checkpoint(given, 4, context=NewBody.of(b"older"))
    desk.do(end(given, RunEvent.COMPLETE, "", 0, 5.0, context=NewBody.of(b"newest")))
    for step, scope in enumerate((0, 1, 2)):
        desk.now += 1.0
        desk.checkpoint(from_checkpoint, step, scope=scope, context=NewBody.of(b"c%d" % scope))
    desk.do(end(from_checkpoint, RunEvent.STOP, "", 0, 5.0))
    desk.do(end(none, RunEvent.STOP, "", 0, 5.0))
    assert desk.do(desk.store.restore(given, 0)) == (0, 0, b"", b"newest")
    assert desk.do(desk.store.restore(from_checkpoint, 0)) == (0, 0, b"", b"c2")
    assert desk.do(desk.store.restore(none, 0)) is None


def test_traffic_is_counted_by_the_size_of_contents(desk: Desk) -> None:
    run_id, node = desk.run(), desk.node()
    body = NewBody.of(b"x" * 100)
    desk.put(run_id, node.node_id, "m1", body=body, parked={node.node_id: node.epoch})
    desk.put(run_id, node.node_id, "m2", body=body)
    desk.lease(node, "m1")
    desk.answer(node.node_id, run_id, "m1", "m2", body=NewBody.of(b"y" * 30))
    desk.answer(node.node_id, run_id, "m1", body=NOTHING)
    row = desk.do(desk.store.hosted([run_id]))[run_id]
    assert (row.bytes_out, row.bytes_in) == (200, 60)


def test_apps_of_old_runs_go(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flwr.store.apps.APPS_OF_RUNS", 2)

    def submit(fab_hash: str, at: float) -> int:
        new = new_run(fab_hash=fab_hash)
        desk.do(desk.store.create_run(new, "serverapp", fab_hash.encode(), at))
        return new.run_id

    def kept() -> list[str]:
        return [key for key in ("a", "b", "c", "d") if desk.do(desk.store.fab(key)) is not None]

    first, second = submit("a", 1.0), submit("b", 2.0)
    desk.do(desk.store.end_run(second, RunEvent.STOP, "", 0, 3.0))
    submit("c", 4.0)
    submit("d", 5.0)
    assert kept() == ["a", "c", "d"]  # the first one is live
    desk.do(desk.store.end_run(first, RunEvent.STOP, "", 0, 6.0))
    submit("d", 7.0)
    assert kept() == ["c", "d"]
