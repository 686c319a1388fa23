"""App processes at the hub: attempts, messages, checkpoints, output, the end of a run."""

import asyncio
import base64
import contextlib
import http.client
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from blake3 import blake3
from hub_here import App, HubHere, Launcher, body, question, reply, text_of

from flwr.errors import RefusedError, StoreError
from flwr.superlink import outside
from flwr.superlink import scheduler as scheduler_module
from flwr.superlink.attempts import Process
from flwr.superlink.scheduler import Scheduler
from flwr.superlink.settings import Service
from flwr.transport import appio, control, fleet
from flwr.transport.client import Link
from flwr.transport.parts import Body, Nothing, Part


def refused_by(app: App) -> str:
    """Return why the hub refuses an app process."""
    with pytest.raises(RefusedError) as refused:
        app.collect(wait=0.0)
    return str(refused.value.code)


def test_an_app_process_gets_its_inputs_and_makes_the_run_running(hub: HubHere) -> None:
    hub.submit(overrides={"rate": 0.5})
    assert hub.run().state == "pending"
    launcher = hub.launcher()
    (launch,) = launcher.ask().start
    assert hub.run().state == "starting"
    app = App(hub, launch)
    assert hub.run().state == "running"
    assert app.inputs.attempt == 1
    assert app.inputs.simulation is None
    assert app.inputs.sheet.run_config == {"rate": 0.5}
    assert app.link.call(appio.FAB, question(1)).content == hub.fab()


def test_a_run_is_launched_once_and_again_when_its_process_has_died(hub: HubHere) -> None:
    hub.submit()
    launcher = hub.launcher()
    first = launcher.launched()
    assert launcher.ask(wait=0.0).start == []
    second = launcher.launched(appio.Ended(1, 1, -9, "Killed"))
    assert second.inputs.attempt == 2
    assert refused_by(first) == "superseded"
    second.finish()
    assert hub.run().state == "finished:completed"


def test_a_launch_whose_answer_got_lost_is_given_again(hub: HubHere) -> None:
    hub.submit()
    launcher = hub.launcher()
    launcher.ask()
    launcher.holding.clear()  # it never heard
    assert [launch.attempt for launch in launcher.ask().start] == [2]


def test_another_launcher_gets_what_the_first_cannot_take(hub: HubHere) -> None:
    hub.submit(1)
    hub.submit(2)
    one, other = hub.launcher(), hub.launcher()
    assert {one.launched().launch.run_id, other.launched().launch.run_id} == {1, 2}


@pytest.fixture
def stopped(start_hub: Callable[..., HubHere]) -> tuple[HubHere, Launcher]:
    """Return a hub that was stopped while a launcher has a process of its only run."""
    hub = start_hub(database=True)
    hub.submit()
    launcher = hub.launcher()
    launcher.launched()
    hub.stop()
    return hub, launcher


def test_the_end_of_a_process_is_not_lost_that_a_hub_hears_before_it_is_ready(
    stopped: tuple[HubHere, Launcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, launcher = stopped
    looks, may_look = Scheduler._state_of_process, asyncio.Event()

    async def look(scheduler: Scheduler, run_id: int) -> Process:
        await may_look.wait()
        return await looks(scheduler, run_id)

    async def let_it_look() -> None:
        may_look.set()

    monkeypatch.setattr(Scheduler, "_state_of_process", look)
    hub.start()
    assert launcher.ask(appio.Ended(1, 1, -9), wait=0.0).start == []
    hub.do(let_it_look())
    assert [launch.attempt for launch in launcher.ask().start] == [2]


def test_a_run_of_which_a_hub_cannot_read_at_once_is_driven_when_it_can(
    stopped: tuple[HubHere, Launcher], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, launcher = stopped
    looks, failures = Scheduler._state_of_process, [StoreError("the disk hiccups")]

    async def look(scheduler: Scheduler, run_id: int) -> Process:
        if failures:
            raise failures.pop()
        return await looks(scheduler, run_id)

    monkeypatch.setattr(Scheduler, "_state_of_process", look)
    monkeypatch.setattr(scheduler_module, "RETRY_SECONDS", 0.05)
    hub.start()
    assert launcher.ask(appio.Ended(1, 1, -9), wait=0.0).start == []
    assert [launch.attempt for launch in launcher.ask().start] == [2]


def test_a_process_of_which_nobody_tells_any_more_is_followed_by_another(
    hub: HubHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outside, "SILENCE_SECONDS", 0.2)
    hub.submit()
    silent = hub.launcher().launched()
    assert hub.launcher().launched().inputs.attempt == 2
    assert refused_by(silent) == "superseded"


def test_an_end_that_is_told_again_counts_once(hub: HubHere) -> None:
    hub.submit()
    launcher = hub.launcher()
    launcher.launched()
    first = appio.Ended(1, 1, -9)
    app = launcher.launched(first)
    assert launcher.ask(first, wait=0.0).start == []
    app.finish()
    assert app.inputs.attempt == 2
    assert hub.run().state == "finished:completed"


def test_a_run_that_gets_no_further_fails_with_the_cause(hub: HubHere) -> None:
    hub.submit()
    launcher = hub.launcher()
    for attempt in range(1, 6):
        (launch,) = launcher.ask(
            *([appio.Ended(1, attempt - 1, -11, "Segmentation fault")] if attempt > 1 else [])
        ).start
        assert launch.attempt == attempt
    assert launcher.ask(appio.Ended(1, 5, -11, "Segmentation fault"), wait=1.0).start == []
    run = hub.run()
    assert run.state == "finished:failed"
    assert "signal 11" in run.details
    assert "Segmentation fault" in run.details


def test_a_checkpoint_is_progress(hub: HubHere) -> None:
    hub.submit()
    launcher = hub.launcher()
    app = launcher.launched()
    for attempt in range(1, 8):
        app.link.call(appio.CHECKPOINT, appio.Checkpoint(1, attempt, body("s"), body("c")))
        app = launcher.launched(appio.Ended(1, attempt, -9))
    assert app.inputs.attempt == 8
    assert hub.run().state == "running"


def test_a_launcher_ends_the_process_of_a_stopped_run(hub: HubHere) -> None:
    hub.app()
    launcher = hub.launcher()
    hub.submit(2)
    launcher.launched()
    got: list[appio.Launches] = []
    waiting = threading.Thread(target=lambda: got.append(launcher.ask(wait=30.0)))
    waiting.start()
    hub.stop_run(2)
    waiting.join(20)
    assert got[0].stop == [appio.Launched(2, 1)]


def test_a_process_that_has_ended_its_run_is_given_a_while(
    hub: HubHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outside, "LAST_WORDS_SECONDS", 1.0)
    hub.submit()
    launcher = hub.launcher()
    launcher.launched().finish()
    assert launcher.ask(wait=0.2).stop == []
    assert launcher.ask(wait=30.0).stop == [appio.Launched(1, 1)]


def test_only_a_token_lets_in(hub: HubHere) -> None:
    for token in ("", "guessed"):
        with pytest.raises(RefusedError) as refused:
            hub.link(Service.APP, token).call(appio.INPUTS, Nothing())
        assert refused.value.code == "not-allowed"


def test_a_message_to_no_node_is_refused_with_the_code_of_an_absent_one(hub: HubHere) -> None:
    (refused,) = hub.app().push(12345, "m1").refused
    assert (refused.message_id, refused.code) == ("m1", 5)
    assert "12345" in refused.reason


def test_a_message_sent_again_is_known(hub: HubHere) -> None:
    app, node = hub.app(), hub.node()
    assert app.push(node.id, "m1").known == []
    assert app.push(node.id, "m1").known == ["m1"]
    assert len(node.exchange(capacity=2).work) == 1


def test_a_message_sent_again_with_another_content_is_refused_by_name(hub: HubHere) -> None:
    app, node = hub.app(), hub.node()
    app.push(node.id, "m1", text="one")
    (refused,) = app.push(node.id, "m1", text="another").refused
    assert (refused.message_id, refused.code) == ("m1", 0)
    assert "not deterministic" in refused.reason


@pytest.mark.parametrize("ttl", [-1.0, float("nan")])
def test_a_message_that_lives_no_time_is_refused(hub: HubHere, ttl: float) -> None:
    app, node = hub.app(), hub.node()
    with pytest.raises(RefusedError, match="ttl"):
        app.push(node.id, "m1", ttl=ttl)


BEYOND = [(2**63, "<= 9223372036854775807"), (-(2**64), ">= -9223372036854775808")]


def told_by_hand(link: Link, path: str, **fields: Any) -> tuple[int, str]:
    """Make a call as JSON, whose numbers have any number of digits."""
    connection = http.client.HTTPConnection(link.address.host, link.address.port, timeout=30)
    headers = {"content-type": "application/json"}
    if token := link._headers.get("authorization"):
        headers["authorization"] = token
    with contextlib.closing(connection):
        connection.request("POST", path, json.dumps(fields), headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


@pytest.mark.parametrize(("number", "bound"), [*BEYOND, (10**400, "")])
def test_numbers_that_a_database_does_not_take_are_refused_by_name(
    hub: HubHere, number: int, bound: str
) -> None:
    app, node = hub.app(), hub.node()
    done = [{"message_id": "m", "run_id": 1, "error": {"code": number}}]
    status, text = told_by_hand(node.link, fleet.EXCHANGE.path, epoch=1, done=done)
    assert status == 400
    assert bound in text
    if bound:
        assert "$.done[0].error.code" in text
    status, text = told_by_hand(app.link, appio.COLLECT.path, after=number)
    assert status == 400
    status, text = told_by_hand(app.link, appio.FINISH.path, outcome="failed", exit_code=number)
    assert status == 400
    assert hub.run().state == "running"
    status, text = told_by_hand(hub.commands, control.RUNS.path, run_id=number)
    assert status == 400
    fab = base64.b64encode(hub.fab()).decode()
    settings = {"overrides": {"rate": number}}
    status, text = told_by_hand(hub.commands, control.START_RUN.path, run_id=2, fab=fab, **settings)
    assert status == 400


@pytest.mark.parametrize("seconds", [-1.0, float("nan")])
def test_times_that_are_none_are_refused_by_name(hub: HubHere, seconds: float) -> None:
    app, node = hub.app(), hub.node()
    app.push(node.id, "m1")
    node.exchange()
    with pytest.raises(RefusedError, match=r"\$.done\[0\].seconds"):
        node.bring(fleet.Reply("m1", 1, body=body("done"), seconds=seconds))
    told = appio.Told(seconds, "RoundStarted", b"")
    with pytest.raises(RefusedError, match=r"\$.events\[0\].at"):
        app.link.call(appio.REPORT, appio.Report(1, [told]))
    node.bring(fleet.Reply("m1", 1, body=body("done"), seconds=float("inf")))
    assert [answer.seconds for answer in app.collect()] == [float("inf")]


def test_a_message_without_its_body_is_refused(hub: HubHere) -> None:
    app, node = hub.app(), hub.node()
    with pytest.raises(RefusedError, match="has no body 3"):
        app.link.call(appio.PUSH, appio.Push([appio.Message("m1", node.id, "train", body=3)], []))


def test_a_restarted_app_finds_the_replies_that_had_come(hub: HubHere) -> None:
    hub.submit()
    launcher = hub.launcher()
    app, node = launcher.launched(), hub.node()
    app.push(node.id, "m1")
    node.exchange()
    node.bring(reply("m1"))
    assert len(app.collect()) == 1
    again = launcher.launched(appio.Ended(1, 1, -9))
    assert again.push(node.id, "m1").known == ["m1"]
    assert [answer.message_id for answer in again.collect()] == ["m1"]


def test_a_checkpoint_is_restored_and_releases_replies(hub: HubHere) -> None:
    app, node = hub.app(), hub.node()
    assert app.link.call(appio.RESTORE, appio.ScopeQuestion(1)).checkpoint is None
    app.push(node.id, "m1", "m2")
    node.exchange(capacity=2)
    node.bring(reply("m1"), reply("m2"))
    assert len(app.collect(atleast=2)) == 2
    checkpoint = appio.Checkpoint(1, 0, body("state"), body("context"), release=["m1"])
    app.link.call(appio.CHECKPOINT, checkpoint)
    restored = app.link.call(appio.RESTORE, appio.ScopeQuestion(1)).checkpoint
    assert restored is not None
    assert (restored.step, text_of(restored.state), text_of(restored.context)) == (
        0, "state", "context",
    )  # fmt: skip
    assert [answer.message_id for answer in app.collect()] == ["m2"]


def test_a_node_hears_that_a_released_message_is_wanted_no_more(hub: HubHere) -> None:
    app, node = hub.app(), hub.node()
    app.push(node.id, "m1")
    node.exchange()
    checkpoint = appio.Checkpoint(1, 0, body("state"), body("context"), release=["m1"])
    app.link.call(appio.CHECKPOINT, checkpoint)
    assert node.exchange(holding=["m1"], wait=0.0).dropped == ["m1"]


def test_an_object_that_is_not_here_cannot_be_sent(hub: HubHere) -> None:
    app, node = hub.app(), hub.node()
    content = Body([Part(data=b"head"), Part(object_id="ab" * 32, nbytes=100_000)])
    with pytest.raises(RefusedError) as refused:
        app.link.call(appio.PUSH, appio.Push([appio.Message("m1", node.id, "train")], [content]))
    assert refused.value.code == "unknown-object"


def test_objects_go_from_app_to_node(hub: HubHere) -> None:
    app, node, other = hub.app(), hub.node(), hub.node("other")
    data = b"model" * 40_000
    part = Part(object_id=blake3(data).hexdigest(), nbytes=len(data))
    app.link.upload(part.object_id, memoryview(data))
    content = Body([Part(data=b"head"), part])
    app.link.call(appio.PUSH, appio.Push([appio.Message("m1", node.id, "train")], [content]))
    into = bytearray(len(data))
    node.link.download(part.object_id, memoryview(into))
    assert into == data
    with pytest.raises(RefusedError) as refused:  # it was not sent to this one
        other.link.download(part.object_id, memoryview(into))
    assert refused.value.code == "unknown-object"


def test_a_wrong_object_is_refused_by_its_hash(hub: HubHere) -> None:
    app = hub.app()
    with pytest.raises(RefusedError) as refused:
        app.link.upload("ab" * 32, memoryview(b"something else" * 10_000))
    assert refused.value.code == "wrong-hash"


def test_replies_are_waited_for_until_there_are_enough(hub: HubHere) -> None:
    app, node = hub.app(), hub.node()
    app.push(node.id, "m1", "m2")
    node.exchange(capacity=2)
    got: list[list[appio.Answer]] = []
    waiting = threading.Thread(target=lambda: got.append(app.collect(atleast=2, wait=30.0)))
    waiting.start()
    node.bring(reply("m1"), holding=["m2"])
    node.bring(reply("m2"))
    waiting.join(20)
    assert [answer.seq for answer in got[0]] == [1, 2]


def test_who_waits_for_replies_of_a_stopped_run_is_told(hub: HubHere) -> None:
    app = hub.app()
    refused: list[str] = []

    def wait() -> None:
        with pytest.raises(RefusedError) as error:
            app.collect(wait=30.0)
        refused.append(error.value.code)

    waiting = threading.Thread(target=wait)
    waiting.start()
    hub.stop_run(1)
    waiting.join(20)
    assert refused == ["run-ended"]
    assert app.report(1, "still here")  # it is told to stop


@pytest.mark.parametrize(
    ("outcome", "state"),
    [
        ("completed", "finished:completed"),
        ("failed", "finished:failed"),
        ("stopped", "finished:stopped"),
    ],
)
def test_a_run_ends_as_its_process_says(hub: HubHere, outcome: str, state: str) -> None:
    app = hub.app()
    app.finish(outcome, details="why", exit_code=201)
    app.finish(outcome, details="asked again", exit_code=1)  # the answer may have been lost
    run = hub.run()
    assert (run.state, run.details, run.exit_code) == (state, "why", 201)


def test_an_outcome_that_is_none_is_refused(hub: HubHere) -> None:
    with pytest.raises(RefusedError, match="cannot end as 'fine'"):
        hub.app().finish("fine")


def test_a_report_is_added_once(hub: HubHere) -> None:
    app = hub.app()
    app.report(1, "one ")
    app.report(1, "one ")
    app.report(2, "two ")
    app.finish()
    assert hub.log() == "one two "


def test_an_app_process_outlives_the_hub(start_hub: Callable[..., HubHere]) -> None:
    hub = start_hub(database=True)
    hub.submit()
    launcher = hub.launcher()
    app = launcher.launched()
    app.report(1, "before ")
    hub.stop()
    hub.start()
    assert launcher.ask(wait=0.0).start == []
    app.report(2, "after ")
    app.finish()
    assert hub.log() == "before after "
    assert hub.run().state == "finished:completed"
