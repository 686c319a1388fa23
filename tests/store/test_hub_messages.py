"""Nodes, messages and replies: each message once, each reply once, whoever asks again."""

import asyncio

import pytest
from hub_desk import NOTHING, Desk

from flwr.errors import (
    NodeNotFoundError,
    RunNotFoundError,
    RunStateError,
    StoreError,
    SupersededError,
)
from flwr.store import RunEvent
from flwr.store.hubrecords import NewBody, NewMessage, NewReply

ABSENT = 5


# --- nodes -------------------------------------------------------------------------------------


def test_a_new_process_of_a_node_gets_the_next_epoch_and_the_same_process_keeps_its_own(
    desk: Desk,
) -> None:
    first = desk.node("a", "one")
    assert first.epoch == 1
    assert 0 < first.node_id < 2**63
    assert desk.node("a", "one") == first
    second = desk.node("a", "two")
    assert (second.node_id, second.epoch) == (first.node_id, 2)
    assert desk.node("b", "one").node_id != first.node_id


def test_what_a_node_tells_of_itself_is_kept_and_renewed(desk: Desk) -> None:
    for config in ({"partition": 1, "rate": 0.5, "on": True}, {"name": "é"}):
        told = desk.do(desk.store.hello("secret", "one", "hospital", config, 5.0))
        assert (told.name, told.node_config, told.created_at) == ("hospital", config, 5.0)
        assert desk.do(desk.store.node_of("secret")) == told
    assert desk.do(desk.store.node_of("another")) is None


def test_nodes_are_listed_by_id_with_their_presence(desk: Desk) -> None:
    nodes = sorted((desk.node(name) for name in "abc"), key=lambda node: node.node_id)
    first, second, third = (node.node_id for node in nodes)
    desk.do(desk.store.set_online([first, second], 10.0))
    desk.do(desk.store.set_online([first], 11.0))  # it is already
    desk.do(desk.store.set_offline([second, third], 12.0))
    listed = desk.do(desk.store.nodes())
    assert [(n.node_id, n.online, n.online_since, n.offline_since) for n in listed] == [
        (first, True, 10.0, None),
        (second, False, 10.0, 12.0),
        (third, False, None, None),
    ]


# --- into the hub ------------------------------------------------------------------------------


def test_a_message_is_new_once_and_known_afterwards(desk: Desk) -> None:
    run_id, node = desk.run(), desk.node()
    assert desk.put(run_id, node.node_id, "m1", "m2").known == ()
    again = desk.put(run_id, node.node_id, "m1", "m2", "m3")
    assert (again.known, again.refused) == (("m1", "m2"), ())
    assert desk.leased(node) == ["m1", "m2", "m3"]


def test_the_same_message_twice_in_one_call_is_one(desk: Desk) -> None:
    run_id, node = desk.run(), desk.node()
    assert desk.put(run_id, node.node_id, "m1", "m1").known == ("m1",)
    assert desk.leased(node) == ["m1"]


@pytest.mark.parametrize("answered", [False, True])
def test_a_known_message_with_another_content_is_refused_by_name(
    desk: Desk, answered: bool
) -> None:
    run_id, node = desk.run(), desk.node()
    desk.put(run_id, node.node_id, "m1", body=NewBody.of(b"one"))
    if answered:
        desk.answer(node.node_id, run_id, "m1")
    (refused,) = desk.put(run_id, node.node_id, "m1", body=NewBody.of(b"two")).refused
    assert (refused.message_id, refused.code) == ("m1", 0)
    assert "another content" in refused.reason
    assert "not deterministic" in refused.reason
    (row,) = [*desk.lease(node).rows, *desk.collect(run_id)]
    assert row.body == (b"nothing" if answered else b"one")


def test_a_known_message_to_another_node_of_another_type_or_run_is_refused_by_name(
    desk: Desk,
) -> None:
    run_id, node, other = desk.run(), desk.node("a"), desk.node("b")
    desk.put(run_id, node.node_id, "m1")
    assert "destination" in desk.put(run_id, other.node_id, "m1").refused[0].reason
    assert "another run" in desk.put(desk.run(), node.node_id, "m1").refused[0].reason
    message = NewMessage(message_id="m1", node_id=node.node_id, message_type="query", body=0)
    given = desk.do(desk.store.enqueue(run_id, 1, [message], [NOTHING], {}, desk.now))
    assert "message type" in given.refused[0].reason


def test_creation_time_lifetime_and_metadata_may_differ_in_a_known_message(desk: Desk) -> None:
    run_id, node = desk.run(), desk.node()
    desk.put(run_id, node.node_id, "m1", ttl=50.0)
    desk.now += 20.0
    message = NewMessage(
        message_id="m1", node_id=node.node_id, message_type="train", body=0, ttl=9.0, meta=b"x"
    )
    given = desk.do(desk.store.enqueue(run_id, 1, [message], [NOTHING], {}, desk.now))
    assert given.known == ("m1",)
    (row,) = desk.lease(node).rows
    assert (row.created, row.ttl, row.meta) == (1_000.0, 50.0, b"")


def test_a_message_to_no_node_is_refused_with_the_documented_code(desk: Desk) -> None:
    run_id, node = desk.run(), desk.node()
    messages = [
        NewMessage(message_id="m1", node_id=12345, message_type="train", body=0),
        NewMessage(message_id="m2", node_id=node.node_id, message_type="train", body=0),
    ]
    given = desk.do(desk.store.enqueue(run_id, 1, messages, [NOTHING], {}, desk.now))
    assert [(row.message_id, row.code) for row in given.refused] == [("m1", ABSENT)]
    assert "12345" in given.refused[0].reason
    assert desk.leased(node) == ["m2"]


@pytest.mark.parametrize("index", [-1, 1])
def test_a_message_without_its_body_is_refused_before_anything_is_written(
    desk: Desk, index: int
) -> None:
    run_id, node = desk.run(), desk.node()
    messages = [
        NewMessage(message_id=f"m{place}", node_id=node.node_id, message_type="train", body=place)
        for place in (0, index)
    ]
    with pytest.raises(StoreError, match="body"):
        desk.do(desk.store.enqueue(run_id, 1, messages, [NOTHING], {}, desk.now))
    assert desk.leased(node) == []


def test_messages_of_a_run_that_ended_is_not_there_or_has_a_newer_process_are_refused(
    desk: Desk,
) -> None:
    node = desk.node()
    with pytest.raises(RunNotFoundError, match="77"):
        desk.put(77, node.node_id, "m1")
    run_id = desk.run()
    desk.do(desk.store.launch(run_id, desk.now))
    with pytest.raises(SupersededError, match="attempt 2"):
        desk.put(run_id, node.node_id, "m1")
    desk.do(desk.store.end_run(run_id, RunEvent.STOP, "", 0, desk.now))
    with pytest.raises(RunStateError, match="finished:stopped"):
        desk.put(run_id, node.node_id, "m1", attempt=2)
    assert desk.leased(node) == []


def test_a_refused_call_takes_none_of_those_that_share_its_commit_along(desk: Desk) -> None:
    run_id, node = desk.run(), desk.node()

    async def put(place: int) -> object:
        message = NewMessage(
            message_id=f"m{place}", node_id=node.node_id, message_type="train", body=0
        )
        attempt = 7 if place % 3 == 0 else 1
        try:
            return await desk.store.enqueue(run_id, attempt, [message], [NOTHING], {}, desk.now)
        except SupersededError as error:
            return error

    outcomes = desk.all(*(put(place) for place in range(30)))
    assert [isinstance(outcome, SupersededError) for outcome in outcomes] == [
        place % 3 == 0 for place in range(30)
    ]
    assert len(desk.leased(node)) == 20


def test_nodes_that_wait_get_their_messages_in_the_same_commit(desk: Desk) -> None:
    run_id, waiting, busy = desk.run(), desk.node("a"), desk.node("b")
    body = NewBody.of(b"content")
    messages = [
        NewMessage(
            message_id=f"m{n}", node_id=node.node_id, message_type="train", body=0, meta=b"m"
        )
        for n, node in enumerate((waiting, busy, waiting))
    ]
    parked = {waiting.node_id: waiting.epoch}
    given = desk.do(desk.store.enqueue(run_id, 1, messages, [body], parked, desk.now))
    assert [(row.message_id, row.node_id) for row in given.leased] == [
        ("m0", waiting.node_id),
        ("m2", waiting.node_id),
    ]
    assert given.leased == desk.lease(waiting).rows  # not held: it is handed out again, the same
    assert desk.leased(waiting, "m0", "m2") == []
    assert desk.leased(busy) == ["m1"]


# --- out to nodes ------------------------------------------------------------------------------


def test_messages_are_handed_out_in_order_up_to_the_limit_and_not_while_they_are_held(
    desk: Desk,
) -> None:
    run_id, node = desk.run(), desk.node()
    ids = [f"m{n}" for n in range(5)]
    desk.put(run_id, node.node_id, *ids, body=NewBody.of(b"model"))
    (first, second) = desk.lease(node, limit=2).rows
    assert (first.message_id, second.message_id) == ("m0", "m1")
    assert (first.body, first.body_id) == (b"model", NewBody.of(b"model").body_id)
    assert desk.leased(node, "m0", "m1", limit=2) == ["m2", "m3"]
    assert desk.leased(node, "m0", "m1", "m2", "m3", limit=0) == []
    assert desk.leased(node) == ids  # whatever it does not name was lost on the way


def test_what_a_node_holds_goes_on_under_a_new_epoch_and_the_rest_is_handed_out_again(
    desk: Desk,
) -> None:
    run_id, node = desk.run(), desk.node("a", "one")
    desk.put(run_id, node.node_id, "m1", "m2")
    desk.lease(node)
    newer = desk.node("a", "two")
    given = desk.lease(newer, "m1")
    assert ([row.message_id for row in given.rows], given.dropped) == (["m2"], ())
    assert desk.answer(node.node_id, run_id, "m1", "m2").accepted == ("m1", "m2")


def test_an_older_process_of_a_node_gets_nothing(desk: Desk) -> None:
    run_id, node = desk.run(), desk.node("a", "one")
    desk.put(run_id, node.node_id, "m1")
    desk.node("a", "two")
    with pytest.raises(SupersededError, match=str(node.node_id)):
        desk.lease(node)
    with pytest.raises(NodeNotFoundError, match="12345"):
        desk.do(desk.store.lease(12345, 1, (), 1, desk.now))


def test_a_node_is_told_what_it_holds_in_vain(desk: Desk) -> None:
    run_id, node, other = desk.run(), desk.node("a"), desk.node("b")
    desk.put(run_id, node.node_id, "answered", "late", "released", "open")
    desk.put(run_id, node.node_id, "failed", ttl=5.0)
    desk.put(run_id, other.node_id, "not mine")
    desk.answer(node.node_id, run_id, "answered")
    desk.do(desk.store.fail_expired(desk.now + 5.0, 3, "why"))
    desk.checkpoint(run_id, 0, ["released"])
    held = ("answered", "failed", "late", "released", "open", "not mine", "never heard of")
    expected = {"answered", "failed", "released", "not mine", "never heard of"}
    assert set(desk.lease(node, *held).dropped) == expected
    desk.now += 3600.0
    assert set(desk.lease(node, *held).dropped) == {*expected, "late", "open"}


def test_large_contents_are_handed_out_a_part_at_a_time(desk: Desk) -> None:
    run_id, node = desk.run(), desk.node()
    ids = [f"m{n}" for n in range(5)]
    for id_ in ids:
        desk.put(run_id, node.node_id, id_, body=NewBody.of(id_.encode() * (2 << 20)))
    held: list[str] = []
    parts = []
    while part := desk.leased(node, *held):
        parts.append(len(part))
        held += part
    assert held == ids
    assert parts == [2, 2, 1]


# --- answers -----------------------------------------------------------------------------------


def test_an_answer_is_accepted_once_and_acknowledged_whenever_it_comes_again(desk: Desk) -> None:
    run_id, node = desk.run(), desk.node()
    desk.put(run_id, node.node_id, "m1", "m2")
    first = desk.answer(node.node_id, run_id, "m1", "m1", body=NewBody.of(b"first"))
    assert (first.accepted, first.dropped, first.runs) == (("m1", "m1"), (), {run_id: 1})
    again = desk.answer(node.node_id, run_id, "m1", "m2", body=NewBody.of(b"second"))
    assert (again.accepted, again.runs) == (("m1", "m2"), {run_id: 1})
    assert [(row.seq, row.message_id, row.body) for row in desk.collect(run_id)] == [
        (1, "m1", b"first"),
        (2, "m2", b"second"),
    ]


def test_an_answer_carries_all_that_was_told(desk: Desk) -> None:
    run_id, node = desk.run(), desk.node()
    desk.put(run_id, node.node_id, "m1", "m2")
    replies = [
        NewReply(message_id="m1", run_id=run_id, meta=b"meta", body=NOTHING, seconds=1.5),
        NewReply(message_id="m2", run_id=run_id, error_code=2, error_reason="Boom \ud800"),
    ]
    desk.do(desk.store.answer(node.node_id, replies, desk.now))
    assert desk.collect(run_id) == [
        (1, "m1", node.node_id, b"meta", b"nothing", None, "", 1.5),
        (2, "m2", node.node_id, b"", None, 2, "Boom ?", 0.0),
    ]


def test_an_answer_needs_no_lease(desk: Desk) -> None:
    run_id, node = desk.run(), desk.node()  # the hub was put back in time, say
    desk.put(run_id, node.node_id, "m1")
    assert desk.answer(node.node_id, run_id, "m1").accepted == ("m1",)


def test_answers_that_nobody_wants_are_dropped(desk: Desk) -> None:
    run_id, other_run, node, other = desk.run(), desk.run(), desk.node("a"), desk.node("b")
    desk.put(run_id, node.node_id, "failed")
    desk.do(desk.store.fail_node(node.node_id, ABSENT, "gone", desk.now))
    desk.put(run_id, node.node_id, "m1", "released")
    desk.checkpoint(run_id, 0, ["released"])
    for node_id, named, ids in (
        (node.node_id, run_id, ("never sent", "failed", "released")),
        (other.node_id, run_id, ("m1",)),  # of another node
        (node.node_id, other_run, ("m1",)),  # of another run
        (node.node_id, 77, ("m1",)),  # of no run
        (12345, run_id, ("m1",)),  # of no node
    ):
        given = desk.answer(node_id, named, *ids)
        assert (given.accepted, given.dropped, given.runs) == ((), ids, {})
    assert desk.answers(run_id) == ["failed"]
    assert desk.answer(node.node_id, run_id, "m1").accepted == ("m1",)


def test_an_answer_after_the_end_of_its_message_or_its_run_is_dropped(desk: Desk) -> None:
    run_id, node = desk.run(), desk.node()
    desk.put(run_id, node.node_id, "m1", ttl=10.0)
    desk.put(run_id, node.node_id, "m2")
    desk.now += 10.0
    assert desk.answer(node.node_id, run_id, "m1", "m2").dropped == ("m1",)
    desk.put(run_id, node.node_id, "m3")
    desk.do(desk.store.end_run(run_id, RunEvent.STOP, "", 0, desk.now))
    assert desk.answer(node.node_id, run_id, "m2", "m3").dropped == ("m2", "m3")
    assert desk.lease(node, "m3").dropped == ("m3",)
    assert desk.collect(run_id) == []


def test_replies_are_numbered_in_each_run_and_collected_behind_a_cursor(desk: Desk) -> None:
    node = desk.node()
    runs = [desk.run(), desk.run()]
    for run_id in runs:
        desk.put(run_id, node.node_id, *(f"{run_id}-{n}" for n in range(6)))
    for n in range(6):
        for run_id in runs:
            desk.answer(node.node_id, run_id, f"{run_id}-{n}")
    for run_id in runs:
        rows = desk.collect(run_id)
        assert [(row.seq, row.message_id) for row in rows] == [
            (n + 1, f"{run_id}-{n}") for n in range(6)
        ]
        assert desk.collect(run_id, after=2, limit=3) == rows[2:5]
        assert desk.do(desk.store.collect(run_id, 2, 3)).more
        assert desk.do(desk.store.collect(run_id, 0, 6)) == (rows, False)


def test_many_callers_at_once_lose_nothing_and_get_no_number_twice(desk: Desk) -> None:
    run_id, nodes = desk.run(), [desk.node(str(n)) for n in range(10)]

    async def life(place: int) -> None:
        node, id_ = nodes[place % 10], f"m{place}"
        message = NewMessage(message_id=id_, node_id=node.node_id, message_type="train", body=0)
        body = NewBody.of(b"shared" if place % 2 else id_.encode())
        reply = NewReply(message_id=id_, run_id=run_id, body=body)
        await desk.store.enqueue(run_id, 1, [message], [body], {}, desk.now)
        for _ in range(2):
            answered = await desk.store.answer(node.node_id, [reply], desk.now)
            assert answered.accepted == (id_,)

    desk.all(*(life(place) for place in range(300)))
    rows = desk.collect(run_id)
    assert [row.seq for row in rows] == list(range(1, 301))
    assert {row.message_id for row in rows} == {f"m{place}" for place in range(300)}


def test_large_replies_are_collected_a_part_at_a_time(desk: Desk) -> None:
    run_id, node = desk.run(), desk.node()
    ids = [f"m{n}" for n in range(3)]
    desk.put(run_id, node.node_id, *ids)
    for id_ in ids:
        desk.answer(node.node_id, run_id, id_, body=NewBody.of(id_.encode() * (5 << 19)))
    parts = [desk.do(desk.store.collect(run_id, after, 10)) for after in (0, 2, 3)]
    assert [[row.seq for row in part.rows] for part in parts] == [[1, 2], [3], []]
    assert [part.more for part in parts] == [True, False, False]


# --- errors of the hub -------------------------------------------------------------------------


def test_what_is_open_for_a_node_fails_once_and_for_all(desk: Desk) -> None:
    run_id, other_run, node, other = desk.run(), desk.run(), desk.node("a"), desk.node("b")
    desk.put(run_id, node.node_id, "m1", "m2", "m3")
    desk.put(other_run, node.node_id, "m4")
    desk.put(run_id, other.node_id, "m5")
    desk.lease(node, limit=2)
    desk.answer(node.node_id, run_id, "m1")
    fail = desk.store.fail_node
    counts = desk.do(fail(node.node_id, ABSENT, "Node a is offline", desk.now))
    assert counts == {run_id: 2, other_run: 1}
    assert desk.do(fail(node.node_id, ABSENT, "again", desk.now)) == {}
    assert [(r.message_id, r.error_code, r.error_reason) for r in desk.collect(run_id)] == [
        ("m1", None, ""),
        ("m2", ABSENT, "Node a is offline"),
        ("m3", ABSENT, "Node a is offline"),
    ]
    assert desk.answers(other_run) == ["m4"]
    assert desk.leased(node) == []
    assert desk.leased(other) == ["m5"]


def test_messages_expire_at_their_time(desk: Desk) -> None:
    run_id, node = desk.run(), desk.node()
    assert desk.do(desk.store.next_expiry()) is None
    assert desk.put(run_id, node.node_id, "m1", ttl=30.0).next_expiry == 1_030.0
    assert desk.put(run_id, node.node_id, "m2", ttl=20.0).next_expiry == 1_020.0
    assert desk.put(run_id, node.node_id, "m2", ttl=20.0).next_expiry is None
    assert desk.do(desk.store.next_expiry()) == 1_020.0
    assert desk.do(desk.store.fail_expired(1_019.0, 3, "too late")) == {}
    assert desk.leased(node) == ["m1", "m2"]
    desk.now = 1_020.0
    assert desk.leased(node) == ["m1"]
    assert desk.do(desk.store.fail_expired(1_020.0, 3, "too late")) == {run_id: 1}
    assert [(r.message_id, r.error_code) for r in desk.collect(run_id)] == [("m2", 3)]
    desk.answer(node.node_id, run_id, "m1")
    assert desk.do(desk.store.next_expiry()) is None
    assert desk.do(desk.store.fail_expired(1_030.0, 3, "too late")) == {}


# --- afterwards --------------------------------------------------------------------------------


def test_all_of_it_is_there_when_the_hub_comes_back(kept: Desk) -> None:
    run_id, node = kept.run(), kept.node()
    kept.put(run_id, node.node_id, "m1", "m2", body=NewBody.of(b"model"))
    kept.lease(node)
    kept.answer(node.node_id, run_id, "m1", body=NewBody.of(b"update"))
    kept.reopen()
    assert kept.node() == node
    assert kept.put(run_id, node.node_id, "m1", "m2", body=NewBody.of(b"model")).known == (
        "m1",
        "m2",
    )
    assert kept.leased(node, "m2") == []
    assert [row.body for row in kept.lease(node).rows] == [b"model"]
    assert kept.answer(node.node_id, run_id, "m1", "m2").accepted == ("m1", "m2")
    assert [row.body for row in kept.collect(run_id)] == [b"update", b"nothing"]


def test_the_store_of_runs_is_the_same_database(kept: Desk) -> None:
    run_id = kept.run()
    assert [run.run_id for run in kept.store.runs.runs(live=True)] == [run_id]
    kept.store.runs.move(run_id, RunEvent.STOP)
    kept.reopen()
    assert kept.store.runs.run(run_id).sub_status == "stopped"


def test_whoever_is_cancelled_is_not_told_and_what_was_asked_is_done_all_the_same(
    desk: Desk,
) -> None:

    run_id, node = desk.run(), desk.node()
    message = NewMessage(message_id="m1", node_id=node.node_id, message_type="train", body=0)

    async def ask_and_leave() -> None:
        asking = asyncio.ensure_future(
            desk.store.enqueue(run_id, 1, [message], [NOTHING], {}, desk.now)
        )
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking

    desk.do(ask_and_leave())
    assert desk.put(run_id, node.node_id, "m1").known == ("m1",)
