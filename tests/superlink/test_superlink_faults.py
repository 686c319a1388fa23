"""A hub whose disk is full or cannot be written; nodes that are slow, and processes of before."""

import asyncio
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from hub_here import App, HubHere, body, question, reply
from sqlalchemy import Connection

from flwr.errors import RefusedError, StoreError, UnreachableError
from flwr.store.compiled import driver_of
from flwr.superlink import hub as hub_module
from flwr.superlink import presence
from flwr.transport import appio, control, fleet
from flwr.transport.call import Call
from flwr.transport.client import Link
from flwr.transport.parts import Nothing


def pragma(hub: HubHere, text: str) -> int:
    """Set something of the connection that writes, or return it."""

    def work(connection: Connection) -> int:
        (value,) = driver_of(connection).execute(f"PRAGMA {text}").fetchone() or (0,)
        return int(value)

    return hub.store.runs.writer.call(work)


def fill(app: App, node_id: int) -> tuple[list[str], RefusedError]:
    """Send large messages until one is refused; return those that were taken, and why."""
    taken: list[str] = []
    for number in range(1000):
        message = appio.Message(f"m{number}", node_id, "train", ttl=60.0)
        content = body(f"{number} " * 10_000)
        try:
            app.link.call(appio.PUSH, appio.Push([message], [content]), patience=0.0)
        except RefusedError as error:
            return taken, error
        taken.append(message.message_id)
    raise AssertionError("the disk was never full")


def test_a_full_disk_is_told_and_the_hub_goes_on_when_there_is_room(
    start_hub: Callable[..., HubHere],
) -> None:
    hub = start_hub(database=True)
    app, node = hub.app(), hub.node()
    pragma(hub, f"max_page_count={pragma(hub, 'page_count') + 100}")
    taken, error = fill(app, node.id)
    assert error.code == "disk-full"
    assert "state.db" in error.message
    work = node.exchange(capacity=100).work if taken else []
    assert [each.message_id for each in work] == taken
    assert hub.run().state == "running"
    late = appio.Message("late", node.id, "train", ttl=60.0)
    pragma(hub, "max_page_count=1000000")
    app.link.call(appio.PUSH, appio.Push([late], [body("x")]))
    done = [reply(message_id) for message_id in taken]
    assert [w.message_id for w in node.exchange(*done).work] == ["late"]
    assert [answer.message_id for answer in app.collect(atleast=len(taken))] == taken


def test_a_node_whose_reply_finds_no_room_is_asked_to_come_back(
    start_hub: Callable[..., HubHere],
) -> None:
    hub = start_hub(database=True)
    app, node = hub.app(), hub.node()
    app.push(node.id, "m1")
    node.exchange()
    pragma(hub, f"max_page_count={pragma(hub, 'page_count')}")
    large = fleet.Reply("m1", 1, body=body("x" * 60_000))
    exchange = fleet.Exchange(node.epoch, [large], wait=0.0)
    with pytest.raises(UnreachableError, match="full"):  # a link with patience asks again
        node.link.call(fleet.EXCHANGE, exchange, patience=0.0)
    pragma(hub, "max_page_count=1000000")
    assert node.bring(large).accepted == ["m1"]
    assert [answer.message_id for answer in app.collect()] == ["m1"]


def test_what_a_process_tells_while_the_disk_is_full_is_told_when_there_is_room(
    start_hub: Callable[..., HubHere],
) -> None:
    hub = start_hub(database=True)
    app = hub.app()
    pragma(hub, f"max_page_count={pragma(hub, 'page_count')}")
    report = appio.Report(1, text="x" * 100_000)
    with pytest.raises(UnreachableError, match="full"):  # a link with patience asks again
        app.link.call(appio.REPORT, report, patience=0.0)
    pragma(hub, "max_page_count=1000000")
    app.link.call(appio.REPORT, report)
    assert hub.log() == report.text


def test_a_message_that_comes_while_others_expire_expires_in_its_time(
    hub: HubHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, node = hub.app(), hub.node()
    next_expiry = hub.store.next_expiry
    looks: list[float | None] = []

    async def look_and_be_overtaken() -> float | None:
        found = await next_expiry()
        looks.append(found)
        if len(looks) == 1:
            await asyncio.to_thread(app.push, node.id, "m2", ttl=0.2)
        return found

    monkeypatch.setattr(hub.store, "next_expiry", look_and_be_overtaken)
    app.push(node.id, "m1", ttl=0.2)
    answers = app.collect(atleast=2, wait=10.0)
    assert [answer.message_id for answer in answers] == ["m1", "m2"]


def test_messages_of_a_lost_node_fail_once_that_can_be_written_down(
    hub: HubHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "AWAY_SECONDS", 0.2)
    monkeypatch.setattr(hub_module, "RETRY_SECONDS", 0.1)
    attempts: list[tuple[Any, ...]] = []
    fail_node = hub.store.fail_node

    async def fails_first(*arguments: Any) -> dict[int, int]:
        attempts.append(arguments)
        if len(attempts) == 1:
            raise StoreError("There is no room.")
        return await fail_node(*arguments)

    monkeypatch.setattr(hub.store, "fail_node", fails_first)
    app, node = hub.app(), hub.node()
    app.push(node.id, "m1")
    node.exchange()
    (answer,) = app.collect(wait=20.0)
    assert answer.error is not None
    assert answer.error.code == 5
    assert len(attempts) == 2


def test_messages_of_a_lost_node_fail_though_the_hub_dies_before_that_is_written_down(
    start_hub: Callable[..., HubHere], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "AWAY_SECONDS", 0.2)
    hub = start_hub(database=True)
    missed = threading.Event()

    async def fails(*_: Any) -> dict[int, int]:
        missed.set()
        raise StoreError("There is no room.")

    monkeypatch.setattr(hub.store, "fail_node", fails)
    app, node = hub.app(), hub.node()
    app.push(node.id, "m1")
    node.exchange()
    assert missed.wait(20)
    hub.stop()
    hub.start()
    (answer,) = app.collect(wait=20.0)
    assert answer.error is not None
    assert answer.error.code == 5


def test_a_node_that_vanishes_is_missed_in_time_though_its_messages_live_long(
    hub: HubHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "AWAY_SECONDS", 0.2)
    app, node = hub.app(), hub.node()
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(node.exchange)
        while not hub.superlink.hub.parked([node.id]):
            hub.do(asyncio.sleep(0))
        app.push(node.id, "m1", ttl=43200.0)
        assert waiting.result().work
        waiting = threads.submit(node.exchange, holding=["m1"], capacity=0, wait=1.0)
        app.collect(wait=0.5)  # nobody is away: the next thing to happen is the message's end
        assert waiting.result().work == []
    (answer,) = app.collect(wait=20.0)
    assert answer.error is not None
    assert answer.error.code == 5


def test_a_node_that_does_not_answer_delays_nobody_else(hub: HubHere) -> None:
    app, stuck, other = hub.app(), hub.node("stuck"), hub.node("other")
    app.push(stuck.id, "m1")
    app.push(other.id, "m2")
    assert [work.message_id for work in stuck.exchange().work] == ["m1"]
    for number in range(2, 5):
        assert [work.message_id for work in other.exchange().work] == [f"m{number}"]
        app.push(other.id, f"m{number + 1}")
        other.bring(reply(f"m{number}"))
    assert [answer.message_id for answer in app.collect(atleast=3)] == ["m2", "m3", "m4"]


def test_a_process_of_before_is_sent_away_after_a_restart_too(
    start_hub: Callable[..., HubHere],
) -> None:
    hub = start_hub(database=True)
    hub.submit()
    launcher = hub.launcher()
    first = launcher.launched()
    second = launcher.launched(appio.Ended(1, 1, -9, ""))
    hub.stop()
    hub.start()
    with pytest.raises(RefusedError) as refused:
        first.link.call(appio.INPUTS, Nothing())
    assert refused.value.code == "superseded"
    second.finish()
    assert hub.run().state == "finished:completed"


def test_a_token_is_of_no_use_when_its_run_has_ended(hub: HubHere) -> None:
    app, node = hub.app(), hub.node()
    hub.stop_run(1)
    with pytest.raises(RefusedError) as refused:
        app.push(node.id, "m1")
    assert refused.value.code == "run-ended"
    assert app.report(1, "last words")


def vanish(hub: HubHere, link: Link, call: Call[Any, Any], request: object, token: str) -> None:
    """Make a call, and break the connection before the database has committed it."""
    gate, reached = threading.Event(), threading.Event()
    writer = hub.store.runs.writer

    def occupied(_: Connection) -> None:
        reached.set()
        gate.wait(20)

    with ThreadPoolExecutor() as threads:
        threads.submit(writer.call, occupied)
        assert reached.wait(20)
        content = msgspec.msgpack.encode(request)
        head = (
            f"POST {call.path} HTTP/1.1\r\nhost: here\r\nauthorization: Bearer {token}\r\n"
            f"content-type: application/msgpack\r\ncontent-length: {len(content)}\r\n\r\n"
        )
        with socket.create_connection((link.address.host, link.address.port)) as connection:
            connection.sendall(head.encode() + content)
            while not writer._queue:
                hub.do(asyncio.sleep(0))
        hub.do(asyncio.sleep(0.2))  # the hub hears that the caller is gone
        gate.set()


def test_a_reply_whose_node_has_vanished_reaches_the_app_at_once(hub: HubHere) -> None:
    app, node = hub.app(), hub.node()
    app.push(node.id, "m1")
    node.exchange()
    with ThreadPoolExecutor() as threads:
        collecting = threads.submit(app.collect, wait=30.0)
        exchange = fleet.Exchange(node.epoch, [reply("m1")], wait=0.0)
        vanish(hub, node.link, fleet.EXCHANGE, exchange, "secret")
        assert [answer.message_id for answer in collecting.result(15)] == ["m1"]


def test_a_message_whose_app_has_vanished_reaches_its_node_at_once(hub: HubHere) -> None:
    app, node = hub.app(), hub.node()
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(node.exchange, wait=30.0)
        push = appio.Push([appio.Message("m1", node.id, "train", ttl=60.0)], [body("do")])
        vanish(hub, app.link, appio.PUSH, push, app.launch.token)
        assert [work.message_id for work in waiting.result(15).work] == ["m1"]


def test_a_run_is_over_though_the_command_that_stopped_it_has_vanished(hub: HubHere) -> None:
    app = hub.app()
    with ThreadPoolExecutor() as threads:
        collecting = threads.submit(app.collect, wait=30.0)
        vanish(hub, hub.commands, control.STOP_RUN, question(1), "")
        with pytest.raises(RefusedError) as refused:
            collecting.result(15)
    assert refused.value.code == "run-ended"
    assert hub.run().state == "finished:stopped"
