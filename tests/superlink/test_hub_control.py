"""What commands ask of the hub: starting, listing, following and stopping runs."""

import io
import threading
import zipfile

import pytest
from hub_here import HubHere, question

from flwr.app.events import RoundFinished, RoundStarted
from flwr.errors import RefusedError
from flwr.transport import appio, control, fleet
from flwr.transport.parts import Nothing
from flwr.wire.events import encode


def refused(hub: HubHere, request: control.StartRun) -> RefusedError:
    with pytest.raises(RefusedError) as error:
        hub.commands.call(control.START_RUN, request)
    return error.value


def test_a_run_is_taken_once(hub: HubHere) -> None:
    first = hub.submit(7)
    assert hub.submit(7) == first
    listed = hub.commands.call(control.RUNS, control.RunsQuestion())
    assert [run.run_id for run in listed.runs] == [7]
    launcher = hub.launcher()
    launcher.launched()
    assert launcher.ask(wait=0.0).start == []


def test_another_run_of_the_same_id_is_refused(hub: HubHere) -> None:
    hub.submit(7)
    with pytest.raises(RefusedError):
        hub.submit(7, overrides={"rate": 0.9})


def test_a_run_that_has_ended_is_not_started_by_asking_again(hub: HubHere) -> None:
    hub.app().finish()
    assert hub.submit().state == "finished:completed"
    assert hub.launcher().ask(wait=0.0).start == []


def archive(**files: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        for name, text in files.items():
            made.writestr(name, text)
    return content.getvalue()


@pytest.mark.parametrize(
    "fab",
    [b"", b"no archive at all", archive(), archive(**{"../outside.py": "x"}), b"PK" * (6 << 20)],
    ids=["empty", "no ZIP", "no files", "leads outside", "over the limit"],
)
def test_what_is_no_app_is_refused(hub: HubHere, fab: bytes) -> None:
    assert refused(hub, control.StartRun(1, fab)).code == "bad-app"
    assert hub.commands.call(control.RUNS, control.RunsQuestion()).runs == []


def test_a_setting_that_the_app_does_not_have_is_refused_by_name(hub: HubHere) -> None:
    error = refused(hub, control.StartRun(1, hub.fab(), overrides={"rat": 1}))
    assert error.code == "bad-app"
    assert "'rate'" in str(error)


@pytest.mark.parametrize("run_id", [0, -3, 1 << 63])
def test_an_id_that_is_none_is_refused(hub: HubHere, run_id: int) -> None:
    assert refused(hub, control.StartRun(run_id, hub.fab())).code == "bad-request"


def test_another_federation_is_refused(hub: HubHere) -> None:
    error = refused(hub, control.StartRun(1, hub.fab(), federation="@acme/lab"))
    assert "@acme/lab" in str(error)
    assert hub.submit(2, federation="@none/default").federation == "@none/default"


def test_options_of_a_simulation_are_refused_where_there_is_none(hub: HubHere) -> None:
    error = refused(hub, control.StartRun(1, hub.fab(), options={"num-supernodes": 3}))
    assert "--federation-config" in str(error)


def test_runs_are_listed_newest_first(hub: HubHere) -> None:
    for run_id in (5, 3, 4):
        hub.submit(run_id)
    listed = hub.commands.call(control.RUNS, control.RunsQuestion(limit=2))
    assert [run.run_id for run in listed.runs] == [4, 3]
    assert listed.now > 1e9


def test_unknown_runs_are_refused(hub: HubHere) -> None:
    commands = hub.commands
    for call, request in (
        (control.RUNS, control.RunsQuestion(99)),
        (control.STOP_RUN, question(99)),
        (control.LOG, control.Follow(99, wait=0.0)),
        (control.EVENTS, control.Follow(99, wait=0.0)),
        (control.FAB, question(99)),
    ):
        with pytest.raises(RefusedError) as error:
            commands.call(call, request)  # type: ignore[arg-type]
        assert error.value.code == "unknown-run"


def test_a_run_is_stopped_once(hub: HubHere) -> None:
    hub.app()
    assert hub.stop_run(1).state == "finished:stopped"
    with pytest.raises(RefusedError) as error:
        hub.stop_run(1)
    assert error.value.code == "run-state"


def test_a_run_that_has_no_process_yet_can_be_stopped(hub: HubHere) -> None:
    hub.submit()
    assert hub.stop_run(1).state == "finished:stopped"
    assert hub.launcher().ask(wait=0.0).start == []


def test_open_messages_say_for_which_run_their_node_works_first(hub: HubHere) -> None:
    first, second, node = hub.app(1), hub.app(2), hub.node()
    first.push(node.id, "m1")
    assert [work.message_id for work in node.exchange().work] == ["m1"]
    second.push(node.id, "m2")

    def told(run_id: int) -> tuple[bool, int]:
        (message,) = hub.commands.call(control.OPEN, question(run_id)).messages
        return message.handed_out, message.busy_with

    assert told(1) == (True, 0)
    assert told(2) == (False, 1)
    hub.stop_run(1)
    assert told(2) == (False, 0)


def test_a_log_is_followed_to_its_end(hub: HubHere) -> None:
    app = hub.app()
    parts: list[control.LogPart] = []

    def follow() -> None:
        after = 0
        while not parts or parts[-1].run is None:
            part = hub.commands.call(control.LOG, control.Follow(1, after, wait=30.0), wait=30.0)
            parts.append(part)
            after = part.entries[-1].seq if part.entries else after

    following = threading.Thread(target=follow)
    following.start()
    app.report(1, "one ")
    app.report(2, "two")
    app.finish("failed", details="why", exit_code=202)
    following.join(20)
    assert "".join(entry.text for part in parts for entry in part.entries) == "one two"
    run = parts[-1].run
    assert run is not None
    assert (run.state, run.exit_code) == ("finished:failed", 202)


def test_events_are_told_as_they_were(hub: HubHere) -> None:
    app = hub.app()
    events = [encode(event) for event in (RoundStarted(1, 3), RoundFinished(1, 3, 0.5))]
    told = [appio.Told(1.0, kind, content) for kind, content in events]
    app.link.call(appio.REPORT, appio.Report(1, told))
    part = hub.commands.call(control.EVENTS, control.Follow(1, wait=0.0))
    assert [(event.seq, event.kind, event.body) for event in part.events] == [
        (1, *events[0]), (2, *events[1]),
    ]  # fmt: skip
    run = hub.run()
    assert (run.rounds_done, run.rounds) == (1, 3)


def test_all_nodes_are_listed_whether_they_are_there_or_not(hub: HubHere) -> None:
    here, gone = hub.node("here", name="a"), hub.node("gone", name="b")
    gone.link.call(fleet.LEAVE, fleet.Leave(gone.epoch))
    nodes = {node.node_id: node for node in hub.commands.call(control.NODES, Nothing()).nodes}
    assert nodes[here.id].online
    assert nodes[here.id].online_since
    assert not nodes[gone.id].online
    assert nodes[gone.id].offline_since
    assert nodes[gone.id].created_at


def test_a_node_is_forgotten_once_it_is_offline(hub: HubHere) -> None:
    node = hub.node()
    app = hub.app()
    app.push(node.id, "m")
    node.exchange()
    with pytest.raises(RefusedError, match="is online") as online:
        hub.commands.call(control.FORGET_NODE, control.NodeQuestion(node.id))
    assert online.value.code == "bad-request"
    node.link.call(fleet.LEAVE, fleet.Leave(node.epoch))
    hub.commands.call(control.FORGET_NODE, control.NodeQuestion(node.id))
    assert hub.commands.call(control.NODES, Nothing()).nodes == []
    with pytest.raises(RefusedError, match="say hello first"):
        node.exchange()
    with pytest.raises(RefusedError) as unknown:
        hub.commands.call(control.FORGET_NODE, control.NodeQuestion(node.id))
    assert unknown.value.code == "unknown-node"
    assert hub.node().id != node.id
    assert [each.error and each.error.code for each in app.collect()] == [5]


def test_nodes_that_were_away_for_long_are_forgotten(
    hub: HubHere, monkeypatch: pytest.MonkeyPatch
) -> None:
    there, gone = hub.node(), hub.node("another secret")
    gone.link.call(fleet.LEAVE, fleet.Leave(gone.epoch))
    hub.do(hub.superlink.hub.forget_long_gone())
    assert len(hub.commands.call(control.NODES, Nothing()).nodes) == 2
    monkeypatch.setattr("flwr.superlink.hub.LONG_GONE_SECONDS", -1.0)
    hub.do(hub.superlink.hub.forget_long_gone())
    listed = hub.commands.call(control.NODES, Nothing()).nodes
    assert [node.node_id for node in listed] == [there.id]
