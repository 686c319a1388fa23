"""A node with ``--isolation process``, and hosts of its ClientApps."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from fake_hub import FakeHub
from node_apps import arrays, config, wait_for_lines, wait_until, wait_until_gone
from running_node import RunningNode, StartNode

from flwr.app import RecordDict
from flwr.app.error import ErrorCode
from flwr.errors import RefusedError
from flwr.runtime.bodies import hash_of
from flwr.supernode import host as host_module
from flwr.supernode.cache import ObjectCache
from flwr.supernode.host import Host, HostSettings
from flwr.supernode.hosts import HostShelf
from flwr.supernode.lanes import Patience
from flwr.supernode.spool import Spool
from flwr.transport.address import Address
from flwr.transport.call import Access, Caller

StartHost = Callable[[RunningNode], subprocess.Popen[bytes]]


@pytest.fixture
def node(start_node: StartNode) -> RunningNode:
    return start_node(hosts=Address("127.0.0.1", 0), node_config={"partition-id": 1})


@pytest.fixture
def start_host(tmp_path: Path) -> Iterator[StartHost]:
    started: list[subprocess.Popen[bytes]] = []

    def start(node: RunningNode) -> subprocess.Popen[bytes]:
        address = str(node.hosts_address())
        command = [sys.executable, "-m", "flwr.cli.flwr_clientapp", "--insecure"]
        environment = {**os.environ, "FLWR_HOME": str(tmp_path / "home")}
        host = subprocess.Popen([*command, "--clientappio-api-address", address], env=environment)
        started.append(host)
        return host

    yield start
    for host in started:
        host.terminate()
        host.wait(30)


def test_messages_are_handled_in_a_host(
    hub: FakeHub, node: RunningNode, start_host: StartHost
) -> None:
    host = start_host(node)
    for number in (1, 2, 3):
        metrics = hub.content(hub.push(RecordDict(), "query"))["metrics"]
        assert metrics["n"] == number
        assert metrics["sum"] == 50_000 * number
    content = hub.content(hub.push(RecordDict(), "query.facts"))
    assert content["config"]["node"] == "[('partition-id', 1)]"
    assert content["config"]["run"] == "[('rounds', 3)]"
    host.terminate()
    assert host.wait(30) == 0


def test_large_arrays_travel_through_the_node(
    hub: FakeHub, node: RunningNode, start_host: StartHost, tmp_path: Path
) -> None:
    start_host(node)
    given = [np.full(100_000, 10 * n, np.float32) for n in range(3)]
    found = hub.content(hub.push(arrays(*given)))["arrays"].to_numpy_ndarrays()
    assert [array[0] for array in found] == [1, 11, 21]
    hub.content(hub.push(RecordDict(), "query"))
    state = tmp_path / "state"
    wait_until(lambda: not list((state / "spool" / "objects").iterdir()))
    assert not list((state / "incoming").iterdir())


@pytest.mark.parametrize("keep_answer", [False, True])
def test_a_state_may_be_the_array_that_came_or_that_goes(
    hub: FakeHub, node: RunningNode, start_host: StartHost, keep_answer: bool
) -> None:
    start_host(node)
    content = RecordDict({**arrays(np.full(100_000, 5, np.float32)), **config(answer=keep_answer)})
    (found,) = hub.content(hub.push(content, "train.keep"))["arrays"].to_numpy_ndarrays()
    assert found[0] == 6
    kept = hub.content(hub.push(RecordDict(), "query.kept"))["metrics"]["kept"]
    assert kept == (6 if keep_answer else 5)


def test_frozen_layers_that_a_host_need_not_bring_are_spooled_all_the_same(
    hub: FakeHub, node: RunningNode, start_host: StartHost, tmp_path: Path
) -> None:
    start_host(node)
    hub.deaf = True  # so that the reply stays in the spool
    hub.push(arrays(*(np.full(100_000, n, np.float32) for n in range(2))), "train.frozen")
    objects = tmp_path / "state" / "spool" / "objects"
    wait_until(lambda: len(list(objects.iterdir())) == 2)


def test_what_came_for_a_message_that_was_stopped_goes(
    tmp_path: Path,
) -> None:
    incoming = tmp_path / "incoming"
    spool = Spool(tmp_path)
    shelf = HostShelf(spool, ObjectCache(tmp_path / "cache", lambda *_: None), incoming)
    with shelf.receiving():
        with shelf.receiving():
            (incoming / f"{'a' * 64}.part").write_bytes(b"half of it")
        assert list(incoming.iterdir())
    assert not list(incoming.iterdir())


@pytest.fixture
def shelf(tmp_path: Path) -> HostShelf:
    cache = ObjectCache(tmp_path / "cache", lambda *_: None)
    return HostShelf(Spool(tmp_path), cache, tmp_path / "incoming")


HOST = Caller(Access.OPEN)


async def pieces(*given: bytes) -> AsyncIterator[bytes]:
    for piece in given:
        yield piece


def test_an_upload_that_hangs_does_no_harm_to_the_one_that_follows(
    shelf: HostShelf, tmp_path: Path
) -> None:
    data = os.urandom(300_000)
    object_id = hash_of(memoryview(data))

    async def play() -> None:
        came, over = asyncio.Event(), asyncio.Event()

        async def hangs() -> AsyncIterator[bytes]:
            yield data[:100_000]
            came.set()
            await over.wait()  # then the connection is found to be broken

        older = asyncio.create_task(shelf.receive(HOST, object_id, 0, len(data), hangs()))
        await came.wait()
        offset = await shelf.offset(HOST, object_id)
        assert offset
        rest = pieces(data[offset:])
        assert await shelf.receive(HOST, object_id, offset, len(data), rest) == (True, len(data))
        over.set()
        await older
        assert await shelf.offset(HOST, object_id) is None

    asyncio.run(play())
    assert (tmp_path / "incoming" / object_id).read_bytes() == data


def test_what_comes_for_a_message_that_is_over_is_refused(shelf: HostShelf) -> None:
    data = bytes(300_000)
    object_id = hash_of(memoryview(data))

    async def late() -> AsyncIterator[bytes]:
        yield data[:100_000]
        with shelf.receiving():
            pass  # the last message that was waited for
        yield data[100_000:]

    with pytest.raises(RefusedError) as refused:
        asyncio.run(shelf.receive(HOST, object_id, 0, len(data), late()))
    assert refused.value.code == "unknown-object"


def test_the_state_follows_a_run_from_host_to_host(
    hub: FakeHub, node: RunningNode, start_host: StartHost
) -> None:
    first = start_host(node)
    assert hub.content(hub.push(RecordDict(), "query"))["metrics"]["n"] == 1
    first.kill()
    first.wait()
    start_host(node)
    assert hub.content(hub.push(RecordDict(), "query"))["metrics"]["n"] == 2


def test_what_a_killed_host_had_goes_to_another(
    hub: FakeHub, node: RunningNode, start_host: StartHost, tmp_path: Path
) -> None:
    first = start_host(node)
    file = tmp_path / "ran"
    message_id = hub.push(config(file=str(file), stall=True), "query.once")
    wait_for_lines(file, 1)
    first.kill()
    first.wait()
    start_host(node)
    assert hub.reply(message_id).error is None
    assert hub.handed_out == [message_id]


def test_a_node_that_was_started_again_offers_its_message_to_the_same_host_again(
    hub: FakeHub, node: RunningNode, start_node: StartNode, start_host: StartHost, tmp_path: Path
) -> None:
    start_host(node)
    file = tmp_path / "ran"
    message_id = hub.push(config(file=str(file), stall=True), "query.once")
    wait_for_lines(file, 1)
    node.stop()
    start_node(hosts=node.hosts_address())
    assert hub.reply(message_id).error is None


def test_errors_and_crashes_are_told(
    hub: FakeHub, node: RunningNode, start_host: StartHost
) -> None:
    start_host(node)
    raised = hub.reply(hub.push(RecordDict(), "query.raise")).error
    assert raised is not None
    assert raised.code == ErrorCode.CLIENT_APP_RAISED_EXCEPTION
    crashed = hub.reply(hub.push(RecordDict(), "query.crash")).error
    assert crashed is not None
    assert crashed.code == ErrorCode.CLIENT_APP_CRASHED


def test_an_error_that_nobody_foresaw_is_the_messages_and_not_the_hosts(
    hub: FakeHub, node: RunningNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room() -> None:
        raise MemoryError("there is no room")

    monkeypatch.setattr(host_module, "workers_of", lambda *_: no_room)
    host = Host(HostSettings(node.hosts_address(), apps=tmp_path / "apps"))
    running = threading.Thread(target=host.run)
    running.start()
    for _ in range(2):
        error = hub.reply(hub.push(RecordDict(), "query")).error
        assert error is not None
        assert error.code == ErrorCode.UNKNOWN
        assert "there is no room" in error.reason
    host.stop()
    running.join(30)
    assert not running.is_alive()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 1), (signal.SIGTERM, 3)])
@pytest.mark.parametrize(
    "command",
    ["flwr_clientapp", "flower_superexec --plugin-type clientapp"],
    ids=["clientapp", "superexec"],
)
def test_a_signal_ends_a_host_and_it_says_so(
    node: RunningNode, tmp_path: Path, command: str, number: signal.Signals, code: int
) -> None:
    host = talkative_host(node, tmp_path, f"{command} --appio-api-address")
    host.send_signal(number)
    _, said = host.communicate(timeout=30)
    assert host.returncode == 0
    assert f"Exit Code: {code}" in said


def test_a_host_ends_with_its_parent(node: RunningNode, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as parent:
        command = f"flwr_clientapp --parent-pid {parent.pid} --appio-api-address"
        host = talkative_host(node, tmp_path, command)
    _, said = host.communicate(timeout=30)
    assert host.returncode == 0
    assert "Exit Code: 3" in said


def talkative_host(node: RunningNode, tmp_path: Path, command: str) -> "subprocess.Popen[str]":
    """Start a host whose stderr can be read, and return when it works."""
    module, *options = command.split()
    host = subprocess.Popen(
        [
            sys.executable,
            "-m",
            f"flwr.cli.{module}",
            "--insecure",
            *options,
            str(node.hosts_address()),
        ],
        env={**os.environ, "FLWR_HOME": str(tmp_path / "home")},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert host.stderr is not None
    assert "Hosting ClientApps" in host.stderr.readline()
    return host


def test_an_ended_run_kills_the_hosts_worker(
    hub: FakeHub, node: RunningNode, start_host: StartHost, tmp_path: Path
) -> None:
    start_host(node)
    file = tmp_path / "ran"
    hub.push(config(file=str(file)), "query.stuck")
    (pid,) = wait_for_lines(file, 1)
    hub.end_run(1)
    wait_until_gone(int(pid))


def test_work_waits_for_a_host(hub: FakeHub, node: RunningNode, start_host: StartHost) -> None:
    message_id = hub.push(RecordDict(), "query")
    hub.wait_for(lambda: hub.holding() == [message_id])
    start_host(node)
    assert hub.content(message_id)["metrics"]["n"] == 1


def test_a_host_without_its_node_gives_up() -> None:
    host = Host(HostSettings(Address("127.0.0.1", 9), patience=Patience(60.0, retries=1)))
    with pytest.raises(Exception, match="127.0.0.1:9"):
        host.run()
