"""Launchers of app processes, against a hub in memory."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from app_hub import RUN_ID, AppHub
from processes import fab_of, start

from flwr.cli import flower_superexec, flwr_serverapp
from flwr.runtime.appprocess import LaunchFacts
from flwr.runtime.superexec import Launcher
from flwr.transport.appio import Launch, Launched

MAIN = """
import os, threading
from flwr.serverapp import ServerApp
app = ServerApp()

@app.main()
def main(grid, context):
"""
WAITS = MAIN + "    print('it waits')\n    threading.Event().wait(50)\n"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[AppHub]:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    with AppHub() as hub:
        yield hub


def a_launch(kind: str = "serverapp") -> Launch:
    return Launch(RUN_ID, 1, "token-1", kind)


def launcher_of(hub: AppHub, *, once: bool = False) -> Launcher:
    return Launcher(LaunchFacts(hub.address, ""), ["serverapp", "simulation"], once=once)


def test_a_wanted_process_runs_and_its_end_is_told(hub: AppHub, tmp_path: Path) -> None:
    hub.fab = fab_of(tmp_path / "app", MAIN + "    print('it ran')\n")
    hub.want(a_launch())
    launcher_of(hub, once=True).run()
    assert "it ran" in hub.text
    (ended,) = hub.ended
    assert (ended.run_id, ended.attempt, ended.status) == (RUN_ID, 1, 0)
    assert "it ran" in ended.tail


def test_a_process_that_dies_is_told_with_its_signal(hub: AppHub, tmp_path: Path) -> None:
    hub.fab = fab_of(tmp_path / "app", MAIN + "    os.kill(os.getpid(), 9)\n")
    hub.want(a_launch())
    launcher_of(hub, once=True).run()
    assert [ended.status for ended in hub.ended] == [-9]


def test_a_process_that_is_wanted_no_more_is_ended(hub: AppHub, tmp_path: Path) -> None:
    hub.fab = fab_of(tmp_path / "app", WAITS)
    hub.want(a_launch())
    launcher = launcher_of(hub, once=True)
    thread = threading.Thread(target=launcher.run)
    thread.start()
    hub.has_text("it waits")
    hub.want_no_more(Launched(RUN_ID, 1))
    thread.join(30)
    assert [ended.status for ended in hub.ended] in ([143], [-15], [-9])


def test_a_hub_that_comes_back_is_told_again_what_has_ended(hub: AppHub, tmp_path: Path) -> None:
    hub.fab = fab_of(tmp_path / "app", MAIN + "    os.kill(os.getpid(), 9)\n")
    hub.want(a_launch())
    launcher = launcher_of(hub)
    thread = threading.Thread(target=launcher.run)
    thread.start()
    try:
        hub.has_ends(1)
        hub.stop()  # perhaps before it could keep that
        hub.start()
        hub.has_ends(2)
    finally:
        launcher.stop()
        thread.join(30)
    assert {(ended.run_id, ended.attempt, ended.status) for ended in hub.ended} == {(RUN_ID, 1, -9)}


def test_a_launcher_that_ends_takes_its_processes_along(hub: AppHub, tmp_path: Path) -> None:
    hub.fab = fab_of(tmp_path / "app", WAITS)
    hub.want(a_launch())
    launcher = launcher_of(hub)
    thread = threading.Thread(target=launcher.run)
    thread.start()
    hub.has_text("it waits")
    launcher.stop()
    thread.join(30)
    assert not thread.is_alive()
    assert len(hub.ended) == 1
    assert hub.finished is None


def test_a_simulation_runs_where_it_is_launched(hub: AppHub, tmp_path: Path) -> None:
    hub.simulation = {"num-supernodes": 3, "backend.client-resources.num-cpus": 1}
    hub.fab = fab_of(tmp_path / "app", MAIN + "    print('nodes:', len(grid.get_node_ids()))\n")
    assert start(hub, tmp_path, "flwr.simulation.process").wait() == 0
    assert "nodes: 3" in hub.text
    assert hub.finished is not None
    assert hub.finished.outcome == "completed"


def test_a_simulation_with_wrong_options_fails(hub: AppHub, tmp_path: Path) -> None:
    hub.simulation = {"num-supernodes": 0}
    hub.fab = fab_of(tmp_path / "app", MAIN + "    pass\n")
    start(hub, tmp_path, "flwr.simulation.process").wait()
    assert hub.finished is not None
    assert "num-supernodes: must be an integer of at least 1" in hub.finished.details


def test_a_serverapp_is_run_by_its_token(hub: AppHub, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("token-1\n")
    hub.fab = fab_of(tmp_path / "app", MAIN + "    pass\n")
    where = ["--insecure", "--serverappio-api-address", hub.address]
    assert flwr_serverapp.run([*where, "--token-file", str(token)]) == 0
    assert hub.finished is not None
    assert hub.finished.outcome == "completed"


def test_one_serverapp_is_run_and_no_more(hub: AppHub, tmp_path: Path) -> None:
    hub.fab = fab_of(tmp_path / "app", MAIN + "    pass\n")
    hub.want(a_launch())
    assert (
        flwr_serverapp.run(["--insecure", "--runtime-api-address", hub.address, "--run-once"]) == 0
    )
    assert hub.finished is not None


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--executor", "kubernetes"], "--executor kubernetes asks for"),
        (["--superexec-auth-secret-file", "x"], "launchers are not authenticated"),
        (["--root-certificates", "x"], "exclude each other"),
    ],
)
def test_what_cannot_be_done_is_refused(
    arguments: list[str], text: str, caplog: pytest.LogCaptureFixture
) -> None:
    where = ["--insecure", "--appio-api-address", "127.0.0.1:1", "--plugin-type", "serverapp"]
    assert flower_superexec.run([*where, *arguments]) == 1
    assert text in caplog.text


def test_a_bad_address_is_a_documented_exit(caplog: pytest.LogCaptureFixture) -> None:
    assert flower_superexec.run(["--insecure", "--runtime-api-address", "::9"]) == 1
    assert "Exit Code: 600" in caplog.text
