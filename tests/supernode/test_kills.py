"""A node as a process of its own: killed at bad moments, left alone by its hub, copied."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import numpy as np
import psutil
import pytest
from fake_hub import FakeHub
from node_apps import arrays, config, wait_for_lines, wait_until, wait_until_gone

from flwr.app import RecordDict
from flwr.errors import RefusedError
from flwr.transport.call import Refusal


class NodeProcess:
    """``flower-supernode`` for a hub."""

    def __init__(self, hub: FakeHub, home: Path, *options: str) -> None:
        self.log = home / "log.txt"
        home.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "flwr.cli.flower_supernode", "--insecure"]
        command += ["--superlink", str(hub.address), *options]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, env={**os.environ, "FLWR_HOME": str(home)}, stdout=log, stderr=log
            )

    def kill(self) -> None:
        """End it in the middle of whatever it does; nothing of it stays."""
        processes = psutil.Process(self.process.pid).children(recursive=True)
        self.process.kill()
        self.process.wait()
        for one in processes:
            wait_until_gone(one.pid)

    def end(self) -> int:
        """Ask it to end, and return its status."""
        self.process.terminate()
        return self.process.wait(30)

    @property
    def said(self) -> str:
        return self.log.read_text()


StartProcess = Callable[..., NodeProcess]


@pytest.fixture
def start(hub: FakeHub, tmp_path: Path) -> Iterator[StartProcess]:
    """Start ``flower-supernode``, each time in the same ``FLWR_HOME``."""
    started: list[NodeProcess] = []

    def start_one(*options: str) -> NodeProcess:
        node = NodeProcess(hub, tmp_path / "home", *options)
        started.append(node)
        return node

    yield start_one
    for node in started:
        if node.process.poll() is None:
            node.kill()


def is_spooled(tmp_path: Path, message_id: str) -> bool:
    found = (tmp_path / "home").glob("wildflower/nodes/*/spool/*")
    return any(message_id.encode() in path.read_bytes() for path in found if path.is_file())


def test_a_node_killed_while_training_trains_again(
    hub: FakeHub, start: StartProcess, tmp_path: Path
) -> None:
    node = start()
    file = tmp_path / "ran"
    message_id = hub.push(config(file=str(file), stall=True), "query.once")
    wait_for_lines(file, 1)
    node.kill()
    start()
    assert hub.reply(message_id).error is None
    assert len(file.read_text().splitlines()) == 2
    assert hub.handed_out == [message_id] * 2
    assert len({hello.instance for hello in hub.hellos}) == 2


def test_a_node_killed_before_the_acknowledgement_does_not_work_again(
    hub: FakeHub, start: StartProcess, tmp_path: Path
) -> None:
    hub.deaf = True
    node = start()
    file = tmp_path / "ran"
    message_id = hub.push(config(file=str(file)), "query.note")
    hub.wait_for(lambda: any(exchange.done for exchange in hub.exchanges))
    node.kill()
    assert is_spooled(tmp_path, message_id)
    hub.deaf = False
    start()
    assert hub.reply(message_id).error is None
    assert file.read_text() == "ran\n"
    assert hub.handed_out == [message_id]


def test_a_node_killed_while_uploading_uploads_and_does_not_work_again(
    hub: FakeHub, start: StartProcess, tmp_path: Path
) -> None:
    killed = threading.Event()
    node = start()

    def kill() -> None:
        hub.before_whole = None
        node.kill()
        killed.set()

    hub.before_whole = kill
    message_id = hub.push(arrays(np.zeros(1_000_000, np.float32)))
    assert killed.wait(30)
    assert is_spooled(tmp_path, message_id)
    start()
    (found,) = hub.content(message_id)["arrays"].to_numpy_ndarrays()
    assert found.sum() == 1_000_000
    assert hub.handed_out == [message_id]


def test_the_context_survives_the_node(hub: FakeHub, start: StartProcess) -> None:
    node = start()
    for number in (1, 2):
        assert hub.content(hub.push(RecordDict(), "query"))["metrics"]["n"] == number
    node.kill()
    start()
    assert hub.content(hub.push(RecordDict(), "query"))["metrics"]["n"] == 3


def test_a_hub_that_comes_back_gets_what_was_done_meanwhile(
    hub: FakeHub, start: StartProcess, tmp_path: Path
) -> None:
    start()
    file = tmp_path / "ran"
    hub.content(hub.push(RecordDict(), "query"))
    message_id = hub.push(config(file=str(file)), "query.note")
    wait_for_lines(file, 1)
    hub.stop()
    wait_until(lambda: is_spooled(tmp_path, message_id) or message_id in hub.replies)
    hub.start()
    assert hub.reply(message_id).error is None
    assert hub.content(hub.push(RecordDict(), "query"))["metrics"]["n"] == 2
    assert file.read_text() == "ran\n"
    assert len({hello.instance for hello in hub.hellos}) == 1


def test_a_hub_that_forgot_the_node_is_introduced_to_it_anew(
    hub: FakeHub, start: StartProcess
) -> None:
    start()
    hub.content(hub.push(RecordDict(), "query"))
    hub.stop(forget=True)
    hub.start()
    assert hub.content(hub.push(RecordDict(), "query"))["metrics"]["n"] == 2
    assert len(hub.hellos) == 2


def test_a_node_waits_for_a_hub_that_is_not_there_yet(hub: FakeHub, start: StartProcess) -> None:
    hub.stop()
    node = start()
    wait_until(lambda: "Trying again" in node.said)
    hub.start()
    assert hub.content(hub.push(RecordDict(), "query"))["metrics"]["n"] == 1


def test_a_node_that_never_reaches_its_hub_says_so_and_ends(
    hub: FakeHub, start: StartProcess
) -> None:
    hub.stop()
    node = start("--max-retries", "2")
    assert node.process.wait(30) == 1
    assert "Exit Code: 305" in node.said
    assert str(hub.address) in node.said


def test_a_node_whose_hub_is_gone_for_too_long_ends(hub: FakeHub, start: StartProcess) -> None:
    node = start("--max-wait-time", "0.5")
    hub.wait_for(lambda: bool(hub.exchanges))
    hub.stop()
    assert node.process.wait(30) == 1
    assert "Traceback" not in node.said


def test_an_older_process_with_a_copied_identity_stops_and_says_why(
    hub: FakeHub, start: StartProcess, tmp_path: Path
) -> None:
    older = start("--state-dir", str(tmp_path / "one"))
    hub.wait_for(lambda: bool(hub.exchanges))
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    start("--state-dir", str(tmp_path / "two"))
    hub.wait_for(lambda: len(hub.hellos) == 2)
    assert older.process.wait(60) == 1
    assert "newer process of this node" in older.said
    assert "state folder" in older.said
    assert hub.content(hub.push(RecordDict(), "query"))["metrics"]["n"] == 1


def test_a_state_folder_in_use_is_refused(
    hub: FakeHub, start: StartProcess, tmp_path: Path
) -> None:
    start("--state-dir", str(tmp_path / "one"))
    hub.wait_for(lambda: bool(hub.exchanges))
    second = start("--state-dir", str(tmp_path / "one"))
    assert second.process.wait(30) == 1
    assert "Another SuperNode" in second.said


def test_nodes_of_one_home_are_different_and_come_back_as_who_they_were(
    hub: FakeHub, start: StartProcess, tmp_path: Path
) -> None:
    def identities() -> set[str]:
        return {path.read_text() for path in tmp_path.glob("home/wildflower/nodes/*/secret")}

    nodes = [start(), start(), start("--node-config", "partition-id=1")]
    hub.wait_for(lambda: len(hub.hellos) == 3)
    before = identities()
    assert len(before) == 3
    assert [node.end() for node in nodes] == [0, 0, 0]
    start()
    hub.wait_for(lambda: len(hub.hellos) == 4)
    assert identities() == before


def test_another_version_of_the_protocol_ends_the_node(hub: FakeHub, start: StartProcess) -> None:
    hub.refuse = RefusedError(Refusal.VERSION, "This hub speaks version 2.")
    node = start()
    assert node.process.wait(30) == 1
    assert "Exit Code: 606" in node.said
    assert "version 2" in node.said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_node_cleanly_whatever_it_does(
    hub: FakeHub, start: StartProcess, tmp_path: Path, number: signal.Signals
) -> None:
    node = start()
    file = tmp_path / "ran"
    hub.push(config(file=str(file)), "query.stuck")
    (pid,) = wait_for_lines(file, 1)
    node.process.send_signal(number)
    assert node.process.wait(30) == 0
    wait_until_gone(int(pid))
    assert hub.left == [1]
    assert "Traceback" not in node.said


def test_a_node_with_workers_loads_no_server_and_no_database(
    hub: FakeHub, start: StartProcess
) -> None:
    node = start()
    hub.content(hub.push(RecordDict(), "query"))
    maps = Path(f"/proc/{node.process.pid}/maps").read_text()
    assert "aiohttp" not in maps
    assert "sqlite" not in maps
    program = "import sys, flwr.cli.flower_supernode; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout.split()
    for name in ("aiohttp", "sqlalchemy", "alembic", "typer", "rich", "sqlite3", "asyncio"):
        assert name not in loaded


def test_killed_again_and_again_no_message_is_lost_and_no_state_is_counted_twice(
    hub: FakeHub, start: StartProcess
) -> None:
    random = Random(4)
    messages = [hub.push(RecordDict(), "query") for _ in range(60)]
    pause = threading.Event()
    kills = 0
    while len(hub.replies) < len(messages):
        node = start()
        if kills < 8:
            seen = len(hub.replies)
            hub.wait_for(lambda seen=seen: len(hub.replies) > min(seen, 59))
            pause.wait(random.uniform(0.0, 0.03))
            node.kill()
            kills += 1
        else:
            hub.wait_for(lambda: len(hub.replies) == len(messages))
    counts = [hub.content(message_id)["metrics"]["n"] for message_id in messages]
    assert counts == list(range(1, 61))
