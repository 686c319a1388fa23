"""The grid over a link, against a hub in memory and real sockets."""

import random
import threading
import weakref
from collections.abc import Iterator

import numpy as np
import pytest
from app_hub import RUN_ID, AppHub

from flwr.app import ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.app.events import Event, Exchange
from flwr.app.memory import set_allocator
from flwr.errors import RefusedError, RunFailedError
from flwr.runtime.inbox import Inbox
from flwr.runtime.linkgrid import LinkGrid
from flwr.runtime.runinfo import RunInfo
from flwr.transport.appio import Answer

LARGE = 300_000  # float64 values: more than a megabyte


@pytest.fixture
def hub() -> Iterator[AppHub]:
    with AppHub(dict.fromkeys((1, 2, 3), echo)) as hub:
        yield hub


def echo(message: Message) -> RecordDict:
    return RecordDict({**message.content, "node": MetricRecord({"id": node_of(message)})})


def node_of(message: Message) -> int:
    return message.metadata.dst_node_id


def grid_of(hub: AppHub, events: list[Event] | None = None) -> LinkGrid:
    context = Context(RUN_ID, 0, {}, RecordDict(), {})
    listener = None if events is None else events.append
    grid = LinkGrid(hub.link(patience=5.0), RunInfo(RUN_ID), context, listener)
    grid.begin()
    return grid


def asks(*nodes: int, content: RecordDict | None = None, kind: str = "train") -> list[Message]:
    shared = content or RecordDict({"config": ConfigRecord({"lr": 0.1})})
    return [Message(shared, node_id, kind) for node_id in nodes]


def senders(replies: list[Message]) -> list[int]:
    return [reply.metadata.src_node_id for reply in replies]


def held(hub: AppHub, node_id: int) -> threading.Event:
    """Let a node answer only when the event is set."""
    gate = threading.Event()

    def node(message: Message) -> RecordDict:
        assert gate.wait(20)
        return echo(message)

    hub.nodes[node_id] = node
    return gate


def test_replies_come_in_push_order_whatever_their_arrival(hub: AppHub) -> None:
    gate = held(hub, 3)
    threading.Timer(0.2, gate.set).start()
    replies = grid_of(hub).send_and_receive(asks(3, 1, 2))
    assert senders(replies) == [3, 1, 2]
    assert [reply.content["node"]["id"] for reply in replies] == [3, 1, 2]
    assert [reply.metadata.dst_node_id for reply in replies] == [1, 1, 1]


def test_replies_name_what_they_answer(hub: AppHub) -> None:
    messages = asks(1, 2)
    replies = grid_of(hub).send_and_receive(messages)
    asked = [message.metadata.message_id for message in messages]
    assert [reply.metadata.reply_to_message_id for reply in replies] == asked
    assert len(set(asked)) == 2


def test_no_messages_give_no_replies(hub: AppHub) -> None:
    assert grid_of(hub).send_and_receive([]) == []


def test_when_the_time_is_up_there_are_the_replies_so_far(hub: AppHub) -> None:
    gate, grid = held(hub, 1), grid_of(hub)
    assert senders(grid.send_and_receive(asks(1, 2), timeout=0.3)) == [2]
    gate.set()
    assert senders(grid.send_and_receive(asks(1, 2))) == [1, 2]


def test_what_is_missing_when_the_time_is_up_is_not_counted_for_each_message(
    hub: AppHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    peek = Inbox.peek

    def counting(inbox: Inbox, message_id: str) -> Answer | None:
        looked.append(message_id)
        return peek(inbox, message_id)

    gate, grid = held(hub, 1), grid_of(hub)
    monkeypatch.setattr(Inbox, "peek", counting)
    assert grid.send_and_receive(asks(*[1] * 200), timeout=0.2) == []
    assert len(looked) < 20 * 200
    gate.set()


@pytest.mark.parametrize("timeout", [-1.0, float("nan")])
def test_a_timeout_that_is_no_time_is_refused(hub: AppHub, timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout must be"):
        grid_of(hub).send_and_receive(asks(1), timeout=timeout)


@pytest.mark.parametrize("ttl", [-1.0, float("nan")])
def test_a_message_that_lives_no_time_is_refused(hub: AppHub, ttl: float) -> None:
    (message,) = asks(1)
    message.metadata.ttl = ttl
    with pytest.raises(ValueError, match="its ttl must be seconds"):
        grid_of(hub).send_and_receive([message])


def test_a_stream_gives_what_is_there_while_others_work(hub: AppHub) -> None:
    gate = held(hub, 2)
    stream = grid_of(hub).stream(asks(1, 2))
    assert next(stream).metadata.src_node_id == 1
    gate.set()
    assert senders(list(stream)) == [2]


def test_pushed_messages_are_answered_when_they_are_asked_for(hub: AppHub) -> None:
    gate, grid = held(hub, 2), grid_of(hub)
    first, second = grid.push_messages(asks(1, 2))
    replies: list[Message] = []
    while not replies:
        replies = grid.pull_messages([first, second])
    assert senders(replies) == [1]
    gate.set()
    replies = []
    while not replies:
        replies = grid.pull_messages([second])
    assert senders(replies) == [2]
    (nothing,) = grid.pull_messages([second])
    assert nothing.error.code == 3


def test_errors_of_nodes_are_replies_with_their_code_and_reason(hub: AppHub) -> None:
    hub.nodes[2] = lambda _: Error(2, "ValueError: no data\n  in train")
    events: list[Event] = []
    replies = grid_of(hub, events).send_and_receive(asks(1, 2))
    assert replies[1].error == Error(2, "ValueError: no data\n  in train")
    (exchange,) = events
    assert isinstance(exchange, Exchange)
    assert [(each.node_id, each.error) for each in exchange.outcomes] == [
        (1, None),
        (2, "ValueError: no data\n  in train"),
    ]


def test_a_node_that_is_not_there_is_an_error_at_once(hub: AppHub) -> None:
    grid = grid_of(hub)
    grid.get_node_ids()
    replies = grid.send_and_receive(asks(9, 1))
    assert replies[0].error.code == 5
    assert replies[1].has_content()


def test_shared_content_is_sealed_and_uploaded_once(hub: AppHub) -> None:
    model = RecordDict({"arrays": ArrayRecord([np.arange(LARGE, dtype=np.float64)])})
    grid = grid_of(hub)
    replies = grid.send_and_receive(asks(1, 2, 3, content=model))
    assert len(hub.uploads) == 1
    (push,) = hub.pushes
    assert len(push.bodies) == 1
    for reply in replies:
        np.testing.assert_array_equal(
            reply.content["arrays"].to_numpy_ndarrays()[0][-2:], [LARGE - 2, LARGE - 1]
        )
    grid.send_and_receive(asks(1, content=RecordDict({"other": model["arrays"]})))
    assert len(hub.uploads) == 1


def test_an_object_that_went_between_upload_and_push_is_uploaded_again(hub: AppHub) -> None:
    grid = grid_of(hub)
    model = RecordDict({"arrays": ArrayRecord([np.arange(LARGE, dtype=np.float64)])})
    forgetful = hub.offset

    async def offset(caller: object, object_id: str) -> int | None:
        hub.offset = forgetful  # type: ignore[method-assign]
        return None  # says that it is there, once

    hub.offset = offset  # type: ignore[method-assign]
    assert len(grid.send_and_receive(asks(1, content=model))) == 1
    assert len(hub.uploads) == 1


def test_a_reply_that_cannot_be_fetched_is_an_error_of_its_node(hub: AppHub) -> None:
    hub.nodes[2] = lambda _: RecordDict({"a": ArrayRecord([np.ones(LARGE)])})
    grid = grid_of(hub)
    assert grid.send_and_receive(asks(2))[0].has_content()
    hub.lose |= set(hub.objects)
    replies = grid.send_and_receive(asks(2))
    assert replies[0].error.code == 4
    assert "cannot be read" in str(replies[0].error.reason)


def test_threads_share_a_grid(hub: AppHub) -> None:
    grid = grid_of(hub)
    gate = held(hub, 3)
    got: dict[int, list[Message]] = {}

    def ask(node_id: int) -> None:
        got[node_id] = grid.send_and_receive(asks(node_id, kind=f"train.t{node_id}"))

    threads = [threading.Thread(target=ask, args=(node_id,)) for node_id in (3, 1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads[1:]:
        thread.join(20)
    assert sorted(got) == [1, 2]
    gate.set()
    threads[0].join(20)
    assert {node_id: senders(replies) for node_id, replies in got.items()} == {
        1: [1],
        2: [2],
        3: [3],
    }


def test_nodes_are_listed_by_id_and_waited_for(hub: AppHub) -> None:
    grid = grid_of(hub)
    assert list(grid.get_node_ids()) == [1, 2, 3]
    assert 2 in grid.get_node_ids()
    assert grid.get_node_ids() - {2} == {1, 3}
    threading.Timer(0.2, hub.add_node, (0, echo)).start()
    grid.wait_nodes(4)
    assert list(grid.get_node_ids()) == [0, 1, 2, 3]


def test_a_hub_that_goes_and_comes_back_is_waited_for(hub: AppHub) -> None:
    grid, gate = grid_of(hub), held(hub, 1)
    stream = grid.stream(asks(1))
    hub.stop()
    gate.set()
    threading.Timer(0.5, hub.start).start()
    assert senders(list(stream)) == [1]


def test_when_the_run_has_ended_waiting_ends(hub: AppHub) -> None:
    grid, gate = grid_of(hub), held(hub, 1)
    threading.Timer(0.2, hub.end_run).start()
    with pytest.raises(RefusedError, match="ended"):
        grid.send_and_receive(asks(1))
    gate.set()


# -- restarts


def test_what_is_sent_again_after_a_restart_finds_its_replies(hub: AppHub) -> None:
    first = grid_of(hub).send_and_receive(asks(1, 2))
    hub.attempt = 2
    grid = grid_of(hub)
    again = grid.send_and_receive(asks(1, 2))
    assert [reply.content for reply in again] == [reply.content for reply in first]
    assert set(hub.worked.values()) == {1}
    assert len(hub.worked) == 2
    third = grid.send_and_receive(asks(1, 2))  # a further message of the same type is another one
    assert len(third) == 2
    assert len(hub.worked) == 4


def test_the_superseded_process_is_refused(hub: AppHub) -> None:
    grid = grid_of(hub)
    hub.attempt = 2
    with pytest.raises(RefusedError, match="newer attempt"):
        grid.send_and_receive(asks(1))


def test_the_same_id_with_another_content_says_that_the_app_is_not_deterministic(
    hub: AppHub,
) -> None:
    grid_of(hub).send_and_receive(asks(1))
    hub.attempt = 2
    other = RecordDict({"config": ConfigRecord({"lr": 0.2})})
    with pytest.raises(RunFailedError, match="not the same: its content differs"):
        grid_of(hub).send_and_receive(asks(1, content=other))


def test_a_checkpoint_releases_what_was_given_or_given_up(hub: AppHub) -> None:
    gate, grid = held(hub, 2), grid_of(hub)
    grid.send_and_receive(asks(1, 2), timeout=0.3)
    pending = grid.push_messages(asks(3))
    grid.checkpoint({})
    assert list(hub.messages) == pending
    gate.set()
    assert senders(grid.send_and_receive(asks(1))) == [1]


def test_a_pushed_message_can_be_pulled_by_the_next_process(hub: AppHub) -> None:
    gate, grid = held(hub, 1), grid_of(hub)
    (pending,) = grid.push_messages(asks(1))
    grid.checkpoint({})
    hub.attempt = 2
    again = grid_of(hub)
    assert again.pull_messages([pending]) == []
    gate.set()
    replies: list[Message] = []
    while not replies:
        replies = again.pull_messages([pending])
    assert senders(replies) == [1]


def test_generators_and_context_are_as_they_were_at_the_checkpoint(hub: AppHub) -> None:
    grid = grid_of(hub)
    grid._context.state["progress"] = ConfigRecord({"round": 4})
    grid.checkpoint({})
    drawn = random.random(), np.random.rand()
    hub.attempt = 2
    again = grid_of(hub)
    assert (random.random(), np.random.rand()) == drawn
    assert again._context.state["progress"] == {"round": 4}


def test_what_main_draws_before_any_checkpoint_of_its_own_is_drawn_again(hub: AppHub) -> None:
    grid_of(hub)
    drawn = random.sample(range(1000), 5)
    hub.attempt = 2
    grid_of(hub)
    assert random.sample(range(1000), 5) == drawn


def test_scopes_are_numbered_through_and_find_their_own_states(hub: AppHub) -> None:
    grid = grid_of(hub)
    assert grid.open_scope() is None
    grid.checkpoint({"in": "first"})
    grid.close_scope()
    assert grid.open_scope() is None
    grid.checkpoint({"in": "second"})
    hub.attempt = 2
    again = grid_of(hub)
    assert again.open_scope() == {"in": "first"}
    again.close_scope()
    assert again.open_scope() == {"in": "second"}
    again.close_scope()
    assert again.open_scope() is None
    again.close_scope()
    again.checkpoint({})  # of main, behind three scopes
    hub.attempt = 3
    assert grid_of(hub).open_scope() is None


def test_a_stream_of_large_replies_holds_few_of_them(hub: AppHub) -> None:
    alive: set[int] = set()
    most = 0

    def allocate(nbytes: int) -> np.ndarray:
        nonlocal most
        memory = np.empty(nbytes, np.uint8)
        if nbytes > LARGE and threading.current_thread().name in watched:
            alive.add(id(memory))
            weakref.finalize(memory, alive.discard, id(memory))
            most = max(most, len(alive))
        return memory

    watched = {threading.current_thread().name, "flwr-fetch_0", "flwr-fetch_1"}
    hub.nodes = dict.fromkeys(range(1, 13), large)
    grid = grid_of(hub)
    list(grid.send_and_receive(asks(*hub.nodes), timeout=0))  # all have worked once
    stream = grid.stream(asks(*hub.nodes, kind="query"))
    set_allocator(allocate)
    try:
        total = sum(int(next(iter(reply.content["a"].values())).numpy()[0]) for reply in stream)
    finally:
        set_allocator(None)
    assert total == sum(hub.nodes)
    assert most <= 5  # the one in hand, two fetched ahead, and what is just being let go of


def large(message: Message) -> RecordDict:
    return RecordDict({"a": ArrayRecord([np.full(LARGE, node_of(message))])})
