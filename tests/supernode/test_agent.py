"""What a node sends next, and what answers mean: no sockets, no clock."""

from flwr.supernode.agent import Agent, Sending
from flwr.transport.fleet import Exchanged, Reply, Work
from flwr.transport.parts import Body

RUN = 7


def work(message_id: str, run_id: int = RUN) -> Work:
    return Work(message_id, run_id, meta=b"", body=0)


def handed_out(*message_ids: str, run_id: int = RUN) -> Exchanged:
    return Exchanged(work=[work(key, run_id) for key in message_ids], bodies=[Body()])


def welcomed(capacity: int = 1) -> Agent:
    agent = Agent(capacity)
    agent.welcomed(3)
    return agent


def sent(agent: Agent, now: float = 0.0, *, leaving: bool = False) -> Sending:
    sending = agent.next_exchange(now, leaving=leaving)
    assert sending is not None
    return sending


def busy(*message_ids: str, capacity: int = 1) -> Agent:
    """Return an agent that has got these messages at 0 s, with nothing under way."""
    agent = welcomed(capacity)
    news = agent.answered(sent(agent), handed_out(*message_ids), 0.0)
    assert [i.message_id for i in news.begin] == list(message_ids)
    return agent


def test_nothing_is_sent_before_the_introduction() -> None:
    agent = Agent(1)
    assert agent.must_introduce
    assert agent.next_exchange(0.0) is None
    agent.welcomed(1)
    assert not agent.must_introduce
    assert sent(agent).exchange.epoch == 1


def test_one_exchange_is_parked_until_there_is_something_to_tell() -> None:
    agent = welcomed(capacity=2)
    first = sent(agent).exchange
    assert (first.capacity, first.done, first.holding) == (2, [], [])
    assert agent.next_exchange(100.0) is None


def test_a_busy_node_parks_without_capacity_after_a_moment() -> None:
    agent = busy("a")
    assert agent.next_exchange(0.01) is None
    assert agent.look_again is not None
    parked = sent(agent, agent.look_again).exchange
    assert (parked.capacity, parked.holding, parked.runs) == (0, ["a"], [RUN])


def test_a_reply_goes_at_once_and_asks_for_more() -> None:
    agent = busy("a")
    agent.finish(Reply("a", RUN))
    exchange = sent(agent, 0.001).exchange
    assert [reply.message_id for reply in exchange.done] == ["a"]
    assert (exchange.capacity, exchange.holding) == (1, [])


def test_a_reply_under_way_is_not_sent_twice_at_a_time() -> None:
    agent = busy("a", "b", capacity=2)
    agent.finish(Reply("a", RUN))
    sent(agent)
    agent.finish(Reply("b", RUN))
    assert [reply.message_id for reply in sent(agent).exchange.done] == ["b"]


def test_a_reply_stays_until_it_is_acknowledged() -> None:
    agent = busy("a")
    agent.finish(Reply("a", RUN))
    sending = sent(agent)
    agent.failed(sending, 0.0, 0.0)
    assert not agent.settled
    again = sent(agent, 5.0)
    assert again.exchange.done == sending.exchange.done
    news = agent.answered(again, Exchanged(accepted=["a"]), 5.0)
    assert news.settled == ["a"]
    assert agent.settled


def test_a_reply_that_the_answer_passes_over_is_sent_again_later() -> None:
    agent = busy("a")
    agent.finish(Reply("a", RUN))
    news = agent.answered(sent(agent, 1.0), Exchanged(), 1.0)
    assert news.unsettled == ["a"]
    assert agent.next_exchange(1.0) is None
    assert sent(agent, 2.0).exchange.done


def test_messages_that_are_known_are_not_begun_again() -> None:
    agent = busy("a", capacity=2)
    assert agent.answered(sent(agent, 1.0), handed_out("a", "b"), 1.0).begin[0].message_id == "b"
    agent.finish(Reply("a", RUN))
    assert agent.answered(sent(agent, 1.0), handed_out("a"), 1.0).begin == []


def test_an_older_answer_does_not_bring_back_what_is_acknowledged() -> None:
    agent = busy("a", capacity=2)
    older = sent(agent, 1.0)
    agent.finish(Reply("a", RUN))
    newer = sent(agent, 1.0)
    agent.answered(newer, Exchanged(accepted=["a"]), 1.0)
    assert agent.answered(older, handed_out("a"), 1.0).begin == []


def test_what_nobody_wants_is_stopped_or_settled() -> None:
    agent = busy("a", "b", "c", capacity=3)
    agent.spool("b")
    agent.finish(Reply("c", RUN))
    news = agent.answered(sent(agent, 1.0), Exchanged(dropped=["a", "b", "c", "d"]), 1.0)
    assert news.stop == ["a"]
    assert news.settled == ["b", "c"]
    exchange = sent(agent, 2.0).exchange
    assert (exchange.holding, exchange.done, exchange.capacity) == ([], [], 3)


def test_an_ended_run_takes_all_its_messages_with_it() -> None:
    agent = busy("a", "b", capacity=4)
    agent.answered(sent(agent, 1.0), handed_out("x", run_id=8), 1.0)
    agent.finish(Reply("b", RUN))
    news = agent.answered(sent(agent, 1.0), Exchanged(ended_runs=[RUN]), 1.0)
    assert (news.ended_runs, news.stop, news.settled) == ([RUN], ["a"], ["b"])
    exchange = sent(agent, 2.0).exchange
    assert (exchange.runs, exchange.holding) == ([8], ["x"])


def test_large_replies_travel_beside_and_leave_room_for_work() -> None:
    agent = busy("a")
    agent.spool("a")
    exchange = sent(agent).exchange
    assert (exchange.capacity, exchange.holding, exchange.done) == (1, ["a"], [])
    agent.finish(Reply("a", RUN))
    exchange = sent(agent).exchange
    assert (exchange.holding, len(exchange.done)) == ([], 1)


def test_what_was_spooled_before_a_restart_is_held_until_it_is_sent() -> None:
    agent = Agent(1)
    agent.restore("a", RUN)
    agent.keep(9)
    agent.welcomed(2)
    exchange = sent(agent).exchange
    assert (exchange.holding, exchange.runs, exchange.capacity) == (["a"], [RUN, 9], 1)
    agent.finish(Reply("a", RUN))
    assert sent(agent).exchange.done == [Reply("a", RUN)]


def test_no_more_than_three_exchanges_are_under_way() -> None:
    agent = busy("a", "b", "c", "d", capacity=4)
    for message_id in ("a", "b", "c"):
        agent.finish(Reply(message_id, RUN))
        sent(agent)
    agent.finish(Reply("d", RUN))
    assert agent.next_exchange(9.0) is None
    assert agent.look_again is None


def test_pauses_grow_to_one_second_then_three_and_end_with_an_answer() -> None:
    agent = welcomed()
    now = 0.0
    pauses = []
    for _ in range(15):
        agent.failed(sent(agent, now), now, 1.0)
        assert agent.look_again is not None
        pauses.append(agent.look_again - now)
        now = agent.look_again
        assert agent.failing_for(now) == now
    assert [round(pause, 6) for pause in pauses[:5]] == [0.1, 0.2, 0.4, 0.8, 1.0]
    assert pauses[-1] == 3.0
    assert agent.failures == 15
    agent.answered(sent(agent, now), Exchanged(), now)
    assert agent.failing_for(now) == 0.0
    assert agent.failures == 0


def test_exchanges_that_fail_together_count_once() -> None:
    agent = busy("a", capacity=2)
    one = sent(agent, 1.0)
    agent.finish(Reply("a", RUN))
    other = sent(agent, 1.0)
    agent.failed(one, 2.0, 1.0)
    agent.failed(other, 2.0, 1.0)
    assert agent.failures == 1


def test_a_hub_that_goes_down_says_when_to_come_back() -> None:
    agent = welcomed()
    agent.answered(sent(agent), Exchanged(retry_after=4.0), 10.0)
    assert agent.next_exchange(13.9) is None
    assert sent(agent, 14.0)


def test_a_node_that_the_hub_forgot_introduces_itself_and_tells_all_again() -> None:
    agent = busy("a", "b", capacity=2)
    agent.finish(Reply("a", RUN))
    agent.failed(sent(agent, 1.0), 1.0, 0.0)
    agent.unknown()
    assert agent.must_introduce
    assert agent.next_exchange(2.0) is None
    agent.welcomed(1)
    exchange = sent(agent, 2.0).exchange
    assert (exchange.epoch, exchange.holding, len(exchange.done)) == (1, ["b"], 1)


def test_a_leaving_node_brings_what_is_finished_and_takes_nothing() -> None:
    agent = busy("a", "b", capacity=3)
    agent.finish(Reply("a", RUN))
    exchange = sent(agent, leaving=True).exchange
    assert (exchange.capacity, exchange.wait, len(exchange.done)) == (0, 0.0, 1)


def test_a_leaving_node_brings_what_is_on_its_way_once_more() -> None:
    agent = busy("a")
    agent.finish(Reply("a", RUN))
    assert len(sent(agent, 1.0).exchange.done) == 1  # its goodbye may overtake this one
    assert len(sent(agent, 1.0, leaving=True).exchange.done) == 1


def test_a_message_that_is_given_up_is_not_held() -> None:
    agent = busy("a")
    agent.let_go("a")
    assert sent(agent, 1.0).exchange.holding == []


def test_a_reply_that_is_held_back_is_sent_once_it_is_finished_again() -> None:
    agent = busy("a")
    reply = Reply("a", RUN)
    agent.finish(reply)
    assert agent.hold_back("a") == reply
    assert sent(agent, 1.0).exchange.holding == ["a"]
    agent.finish(reply)
    assert sent(agent, 1.0).exchange.done == [reply]
    assert agent.hold_back("unknown") is None
