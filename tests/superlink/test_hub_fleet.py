"""Nodes and their messages at the hub: handed out until answered, answered once."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from blake3 import blake3
from hub_here import HubHere, Node, question, reply, text_of

from flwr.errors import RefusedError
from flwr.superlink import presence
from flwr.superlink.settings import Service
from flwr.transport import appio, fleet
from flwr.transport.parts import Body, Fault, Part


def test_a_message_goes_to_its_node_and_the_reply_back(hub: HubHere) -> None:
    app, node = hub.app(), hub.node()
    app.push(node.id, "m1", text="train on this")
    answer = node.exchange()
    (work,) = answer.work
    assert (work.message_id, work.run_id, text_of(answer.bodies[work.body])) == (
        "m1", 1, "train on this",
    )  # fmt: skip
    assert node.bring(reply("m1", "trained")).accepted == ["m1"]
    (came,) = app.collect()
    assert (came.seq, came.message_id, came.node_id) == (1, "m1", node.id)
    assert text_of(came.body) == "trained"


def test_a_node_that_waits_gets_a_message_when_there_is_one(hub: HubHere) -> None:
    app, node = hub.app(), hub.node()
    got: list[fleet.Exchanged] = []
    waiting = threading.Thread(target=lambda: got.append(node.exchange(wait=30.0)))
    waiting.start()
    app.push(node.id, "m1")
    waiting.join(20)
    assert [work.message_id for work in got[0].work] == ["m1"]


def test_messages_with_one_content_share_it(hub: HubHere) -> None:
    app, node = hub.app(), hub.node()
    app.push(node.id, "m1", "m2")
    answer = node.exchange(capacity=2)
    assert [work.body for work in answer.work] == [0, 0]
    assert len(answer.bodies) == 1


def test_no_more_is_handed_out_than_a_node_takes(hub: HubHere) -> None:
    app, node = hub.app(), hub.node()
    app.push(node.id, "m1", "m2", "m3")
    first = [work.message_id for work in node.exchange(capacity=2).work]
    rest = node.exchange(holding=first, capacity=2)
    assert sorted([*first, *(work.message_id for work in rest.work)]) == ["m1", "m2", "m3"]


def test_an_answer_that_got_lost_is_given_again(hub: HubHere) -> None:
    app, node = hub.app(), hub.node()
    app.push(node.id, "m1")
    assert node.exchange().work
    assert [work.message_id for work in node.exchange().work] == ["m1"]  # it holds nothing
    assert not node.exchange(holding=["m1"], wait=0.0).work


def test_a_newer_process_of_a_node_gets_what_the_older_held(hub: HubHere) -> None:
    app, node = hub.app(), hub.node()
    app.push(node.id, "m1")
    node.exchange()
    newer = hub.node(instance="b")
    assert (newer.id, newer.epoch) == (node.id, node.epoch + 1)
    assert [work.message_id for work in newer.exchange().work] == ["m1"]


def test_an_older_process_of_a_node_is_sent_away_but_its_reply_counts(hub: HubHere) -> None:
    app, node = hub.app(), hub.node()
    app.push(node.id, "m1")
    node.exchange()
    hub.node(instance="b")
    with pytest.raises(RefusedError) as refused:
        node.exchange(reply("m1"))
    assert refused.value.code == "superseded"
    assert [answer.message_id for answer in app.collect()] == ["m1"]


def test_an_older_process_that_waits_is_sent_away(hub: HubHere) -> None:
    node = hub.node()
    refused: list[RefusedError] = []

    def wait() -> None:
        with pytest.raises(RefusedError) as error:
            node.exchange(wait=30.0)
        refused.append(error.value)

    waiting = threading.Thread(target=wait)
    waiting.start()
    while not hub.superlink.hub.parked([node.id]):
        waiting.join(0.01)
    hub.node(instance="b")
    waiting.join(20)
    assert refused[0].code == "superseded"


def test_a_process_that_says_hello_again_keeps_its_epoch(hub: HubHere) -> None:
    node = hub.node()
    again = hub.node()
    assert (again.id, again.epoch) == (node.id, node.epoch)


def test_a_newer_exchange_ends_the_older(hub: HubHere) -> None:
    node = hub.node()
    got: list[fleet.Exchanged] = []
    waiting = threading.Thread(target=lambda: got.append(node.exchange(wait=30.0)))
    waiting.start()
    while not hub.superlink.hub.parked([node.id]):
        waiting.join(0.01)
    node.exchange(wait=0.0)
    waiting.join(20)
    assert got[0].work == []


def test_a_reply_counts_once(hub: HubHere) -> None:
    app, node = hub.app(), hub.node()
    app.push(node.id, "m1")
    node.exchange()
    assert node.bring(reply("m1", "first")).accepted == ["m1"]
    assert node.bring(reply("m1", "second")).accepted == ["m1"]
    assert [text_of(answer.body) for answer in app.collect()] == ["first"]
    assert app.collect(after=1, wait=0.0) == []


def test_a_reply_to_a_message_that_never_was_is_dropped(hub: HubHere) -> None:
    hub.app()
    assert hub.node().bring(reply("m9")).dropped == ["m9"]


def test_a_reply_of_another_node_is_dropped(hub: HubHere) -> None:
    app, node, other = hub.app(), hub.node(), hub.node("other")
    app.push(node.id, "m1")
    node.exchange()
    assert other.bring(reply("m1", "not mine")).dropped == ["m1"]
    assert app.collect(wait=0.0) == []


def test_a_reply_that_comes_too_late_is_dropped_and_the_app_is_told(hub: HubHere) -> None:
    app, node = hub.app(), hub.node()
    app.push(node.id, "m1", ttl=0.2)
    node.exchange()
    (answer,) = app.collect()
    assert answer.error is not None
    assert answer.error.code == 3
    told = node.bring(reply("m1"), holding=["m1"])
    assert set(told.dropped) == {"m1"}


def test_work_says_how_old_it_is_so_that_clocks_may_differ(hub: HubHere) -> None:
    app, node = hub.app(), hub.node()
    app.push(node.id, "m1", ttl=50.0)
    (work,) = node.exchange().work
    assert work.ttl == 50.0
    assert 0.0 <= work.age < 30.0


def test_an_error_of_a_client_reaches_the_app(hub: HubHere) -> None:
    app, node = hub.app(), hub.node()
    app.push(node.id, "m1")
    node.exchange()
    node.bring(fleet.Reply("m1", 1, error=Fault(2, "ValueError: no data"), seconds=1.5))
    (answer,) = app.collect()
    assert answer.error == Fault(2, "ValueError: no data")
    assert answer.seconds == 1.5


def test_a_reply_with_neither_content_nor_error_is_refused(hub: HubHere) -> None:
    app, node = hub.app(), hub.node()
    app.push(node.id, "m1")
    with pytest.raises(RefusedError, match="either a content or an error"):
        node.bring(fleet.Reply("m1", 1))


def test_a_node_without_secret_or_hello_is_refused(hub: HubHere) -> None:
    for secret, call, request in (
        ("", fleet.HELLO, fleet.Hello("a")),
        ("unknown", fleet.EXCHANGE, fleet.Exchange(1)),
        ("", fleet.EXCHANGE, fleet.Exchange(1)),
    ):
        with pytest.raises(RefusedError) as refused:
            hub.link(Service.FLEET, secret).call(call, request)  # type: ignore[arg-type]
        assert refused.value.code == "not-allowed"


def test_a_node_hears_which_runs_have_ended(hub: HubHere) -> None:
    app, node = hub.app(), hub.node()
    got: list[fleet.Exchanged] = []
    waiting = threading.Thread(target=lambda: got.append(node.exchange(runs=[1], wait=30.0)))
    waiting.start()
    while not hub.superlink.hub.parked([node.id]):
        waiting.join(0.01)
    app.finish()
    waiting.join(20)
    assert got[0].ended_runs == [1]


def test_a_node_that_works_for_a_stopped_run_hears_it_at_once(hub: HubHere) -> None:
    app, node = hub.app(), hub.node()
    app.push(node.id, "m1")
    node.exchange()
    got: list[fleet.Exchanged] = []
    busy = threading.Thread(
        target=lambda: got.append(node.exchange(holding=["m1"], runs=[1], capacity=0, wait=30.0))
    )
    busy.start()
    app.finish("stopped")
    busy.join(20)
    assert got[0].ended_runs == [1]


def test_a_node_that_leaves_is_offline_and_its_messages_fail(hub: HubHere) -> None:
    app, node = hub.app(), hub.node()
    app.push(node.id, "m1")
    node.exchange()
    node.link.call(fleet.LEAVE, fleet.Leave(node.epoch))
    (answer,) = app.collect()
    assert answer.error is not None
    assert answer.error.code == 5
    assert app.link.call(appio.NODES, appio.NodeQuestion()).nodes == []
    app.push(node.id, "m2")
    assert [a.error.code for a in app.collect(after=1) if a.error] == [5]


def test_a_node_that_stays_away_is_offline_and_may_come_back(
    hub: HubHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "AWAY_SECONDS", 0.3)
    app, node = hub.app(), hub.node()
    app.push(node.id, "m1")
    node.exchange()
    (answer,) = app.collect(wait=20.0)
    assert answer.error is not None
    assert answer.error.code == 5
    assert str(node.id) in answer.error.reason
    assert set(node.bring(reply("m1"), holding=["m1"]).dropped) == {"m1"}  # final
    app.push(node.id, "m2")
    assert [work.message_id for work in node.exchange().work] == ["m2"]


def test_an_app_waits_for_nodes(hub: HubHere) -> None:
    app = hub.app()
    hub.node("one", name="first")
    got: list[appio.Nodes] = []
    asked = appio.NodeQuestion(atleast=2, wait=30.0)
    waiting = threading.Thread(
        target=lambda: got.append(app.link.call(appio.NODES, asked, wait=30.0))
    )
    waiting.start()
    hub.node("two", node_config={"site": "north"})
    waiting.join(20)
    assert sorted(node.name for node in got[0].nodes) == ["", "first"]
    assert {"site": "north"} in [node.node_config for node in got[0].nodes]
    few = app.link.call(appio.NODES, appio.NodeQuestion(atleast=9, wait=0.1), wait=0.1)
    assert len(few.nodes) == 2


def upload(node: Node, data: bytes) -> Part:
    """Upload an object, and return the part that refers to it."""
    object_id = blake3(data).hexdigest()
    node.link.upload(object_id, memoryview(data))
    return Part(object_id=object_id, nbytes=len(data))


def test_objects_go_from_node_to_app(hub: HubHere) -> None:
    app, node = hub.app(), hub.node()
    app.push(node.id, "m1")
    node.exchange()
    data = bytes(range(256)) * 1000
    part = upload(node, data)
    node.bring(fleet.Reply("m1", 1, body=Body([Part(data=b"head"), part])))
    (answer,) = app.collect()
    assert answer.body is not None
    assert answer.body.parts[1] == part
    into = bytearray(len(data))
    app.link.download(part.object_id, memoryview(into))
    assert into == data


def test_a_reply_that_refers_to_an_object_of_another_node_is_not_taken(hub: HubHere) -> None:
    app, node, other = hub.app(), hub.node(), hub.node("other")
    app.push(other.id, "m1")
    app.push(node.id, "m2")
    other.exchange()
    part = upload(node, b"an update of somebody else" * 5000)
    told = other.bring(fleet.Reply("m1", 1, body=Body([Part(data=b"head"), part])))
    assert told.accepted == told.dropped == []
    with pytest.raises(RefusedError) as refused:
        other.link.download(part.object_id, memoryview(bytearray(part.nbytes)))
    assert refused.value.code == "unknown-object"


def test_a_node_hears_at_once_that_the_objects_of_its_reply_are_not_here(hub: HubHere) -> None:
    app, node = hub.app(), hub.node()
    app.push(node.id, "m1")
    node.exchange()
    part = Part(object_id="ab" * 32, nbytes=100_000)
    reply = fleet.Reply("m1", 1, body=Body([Part(data=b"head"), part]))
    with ThreadPoolExecutor() as threads:
        told = threads.submit(lambda: node.exchange(reply, wait=50.0)).result(10)
    assert told.accepted == told.dropped == []


@pytest.mark.parametrize(
    "part", [Part(object_id="../etc/passwd", nbytes=3), Part(object_id="a" * 64, nbytes=-1)]
)
def test_a_reply_that_refers_to_nonsense_is_refused(hub: HubHere, part: Part) -> None:
    app, node = hub.app(), hub.node()
    app.push(node.id, "m1")
    with pytest.raises(RefusedError, match="is no object"):
        node.bring(fleet.Reply("m1", 1, body=Body([part])))


def test_objects_are_gone_when_their_run_has_ended(hub: HubHere) -> None:
    app, node = hub.app(), hub.node()
    app.push(node.id, "m1")
    node.exchange()
    part = upload(node, b"x" * 100_000)
    node.bring(fleet.Reply("m1", 1, body=Body([Part(data=b"head"), part])))
    assert len(hub.store.blobs.ids()) == 1
    app.finish()
    assert hub.store.blobs.ids() == []


def test_a_node_uploads_nothing_for_a_run_that_has_ended(hub: HubHere) -> None:
    app, node = hub.app(), hub.node()
    app.push(node.id, "m1")
    node.exchange()
    upload(node, b"x" * 100_000)
    app.finish()
    with pytest.raises(RefusedError, match="has no message to answer") as refused:
        upload(node, b"x" * 100_000)
    assert refused.value.code == "run-state"
    assert hub.store.blobs.ids() == []


def test_a_node_learns_about_runs_and_their_apps(hub: HubHere) -> None:
    run = hub.submit(overrides={"rate": 0.5})
    app, node, other = hub.launcher().launched(), hub.node(), hub.node("another secret")
    app.push(node.id, "m")
    sheet = node.link.call(fleet.RUN, question(1))
    assert sheet.fab_id == "tester/tiny"
    assert sheet.run_config == {"rate": 0.5}
    assert sheet.override_config == {"rate": 0.5}
    fab = node.link.call(fleet.FAB, question(1))
    assert (fab.fab_hash, fab.content) == (run.fab_hash, hub.fab())
    assert not_told(node, 99) == not_told(node, 98)
    assert not_told(other, 1) == not_told(other, 99)
    node.bring(reply("m"))
    not_told(node, 1)


def not_told(node: Node, run_id: int) -> str:
    """Return why a node learns nothing about a run."""
    for call in (fleet.RUN, fleet.FAB):
        with pytest.raises(RefusedError) as refused:
            node.link.call(call, question(run_id))
        assert refused.value.code == "unknown-run"
    return str(refused.value).replace(f"run {run_id} ", "the run ")


def test_everything_acknowledged_is_there_after_a_restart(
    start_hub: Callable[..., HubHere],
) -> None:
    hub = start_hub(database=True)
    app, node = hub.app(), hub.node()
    app.push(node.id, "m1", "m2")
    assert len(node.exchange(capacity=2).work) == 2
    node.bring(reply("m1", "before"), holding=["m2"])
    hub.stop()
    hub.start()
    assert [text_of(answer.body) for answer in app.collect()] == ["before"]
    assert node.exchange(holding=["m2"], wait=0.0).work == []  # the same process holds it
    assert node.bring(reply("m2", "after")).accepted == ["m2"]
    assert [text_of(answer.body) for answer in app.collect(after=1)] == ["after"]
    newer = hub.node(instance="b")
    assert newer.id == node.id


def test_a_hub_that_ends_tells_nodes_when_to_come_back(
    start_hub: Callable[..., HubHere],
) -> None:
    hub = start_hub(database=True)
    node = hub.node()
    got: list[fleet.Exchanged] = []
    waiting = threading.Thread(target=lambda: got.append(node.exchange(wait=30.0)))
    waiting.start()
    while not hub.superlink.hub.parked([node.id]):
        waiting.join(0.01)
    hub.stop()
    waiting.join(20)
    hub.start()
    assert got[0].retry_after > 0
