"""A node against a hub over real sockets, with a real ClientApp."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
import pytest
from fake_hub import NODE_ID, FakeHub
from node_apps import (
    BROKEN_CLIENT,
    CLIENT,
    arrays,
    config,
    wait_for_lines,
    wait_until,
    wait_until_gone,
    write_app,
)
from running_node import StartNode

from flwr import clock
from flwr.app import RecordDict
from flwr.app.error import ErrorCode
from flwr.supernode.spool import Spool
from flwr.wire.records import decode_metadata


def test_a_message_is_handled_and_its_reply_comes_back(hub: FakeHub, start_node: StartNode) -> None:
    start_node(node_config={"partition-id": 3})
    message_id = hub.push(arrays(np.arange(4, dtype=np.float32)))
    (found,) = hub.content(message_id)["arrays"].to_numpy_ndarrays()
    assert found.tolist() == [1, 2, 3, 4]
    assert hub.reply(message_id).seconds > 0
    assert hub.hellos[0].node_config == {"partition-id": 3}


def test_one_worker_serves_all_messages_of_a_run(hub: FakeHub, start_node: StartNode) -> None:
    start_node()
    pids = set()
    for number in range(1, 5):
        content = hub.content(hub.push(RecordDict(), "query"))
        pids.add(content["metrics"]["pid"])
        assert content["metrics"]["n"] == number
        assert content["metrics"]["sum"] == 50_000 * number
    assert len(pids) == 1
    assert all(exchange.capacity <= 1 for exchange in hub.exchanges)
    assert hub.handed_out == list(hub.replies)


def test_apps_find_their_run_and_their_node(hub: FakeHub, start_node: StartNode) -> None:
    start_node(node_config={"partition-id": 3})
    content = hub.content(hub.push(RecordDict(), "query.facts"))
    assert content["config"]["run"] == "[('rounds', 3)]"
    assert content["config"]["node"] == "[('partition-id', 3)]"
    assert content["metrics"]["node-id"] == NODE_ID


def test_times_are_the_nodes_own_whatever_the_hubs_clock_says(
    hub: FakeHub, start_node: StartNode
) -> None:
    start_node()
    for ahead in (3600.0, -3600.0):
        hub.clock_ahead = ahead
        before = clock.unix_now()
        message_id = hub.push(RecordDict(), "query.times", ttl=500)
        metrics = hub.content(message_id)["metrics"]
        assert before - 0.01 <= metrics["created_at"] <= clock.unix_now()
        assert metrics["ttl"] == 500
        metadata = decode_metadata(msgspec.msgpack.decode(hub.reply(message_id).meta))
        assert before + ahead - 0.01 <= metadata.created_at <= clock.unix_now() + ahead
        assert metadata.ttl <= 500.2
        assert (metadata.src_node_id, metadata.dst_node_id) == (NODE_ID, 1)
        assert metadata.reply_to_message_id == message_id


def test_an_app_that_raises_answers_with_the_error_and_its_state_stays(
    hub: FakeHub, start_node: StartNode
) -> None:
    start_node()
    hub.content(hub.push(RecordDict(), "query"))
    error = hub.reply(hub.push(RecordDict(), "query.raise")).error
    assert error is not None
    assert error.code == ErrorCode.CLIENT_APP_RAISED_EXCEPTION
    assert error.reason.startswith("RuntimeError: the data is gone\n")
    assert "in fail" in error.reason
    assert hub.content(hub.push(RecordDict(), "query"))["metrics"]["n"] == 2


def test_an_app_that_does_not_load_answers_with_the_cause(
    hub: FakeHub, start_node: StartNode, tmp_path: Path
) -> None:
    hub.add_run(2, write_app(tmp_path / "broken", BROKEN_CLIENT))
    start_node()
    for _ in range(2):
        error = hub.reply(hub.push(RecordDict(), "query", run_id=2)).error
        assert error is not None
        assert error.code == ErrorCode.LOAD_CLIENT_APP_EXCEPTION
        assert "a_module_that_is_not_there" in error.reason
    assert hub.content(hub.push(RecordDict(), "query"))["metrics"]["n"] == 1


def test_another_fab_than_the_runs_is_not_loaded(hub: FakeHub, start_node: StartNode) -> None:
    hub.sheets[1] = msgspec.structs.replace(hub.sheets[1], fab_hash="0" * 64)
    start_node()
    error = hub.reply(hub.push(RecordDict(), "query")).error
    assert error is not None
    assert error.code == ErrorCode.LOAD_CLIENT_APP_EXCEPTION
    assert "0" * 64 not in error.reason
    assert hub.sheets[1].fab_hash not in error.reason


def test_a_worker_that_crashes_answers_and_the_next_one_has_the_state(
    hub: FakeHub, start_node: StartNode
) -> None:
    start_node()
    first = hub.content(hub.push(RecordDict(), "query"))["metrics"]
    error = hub.reply(hub.push(RecordDict(), "query.crash")).error
    assert error is not None
    assert error.code == ErrorCode.CLIENT_APP_CRASHED
    assert "SIGSEGV" in error.reason
    second = hub.content(hub.push(RecordDict(), "query"))["metrics"]
    assert second["n"] == 2
    assert second["pid"] != first["pid"]


def test_a_message_whose_worker_is_killed_from_outside_is_tried_again(
    hub: FakeHub, start_node: StartNode, tmp_path: Path
) -> None:
    start_node()
    file = tmp_path / "ran"
    message_id = hub.push(config(file=str(file), stall=True), "query.once")
    (pid,) = wait_for_lines(file, 1)
    os.kill(int(pid), signal.SIGKILL)
    assert hub.reply(message_id).error is None
    assert len(file.read_text().splitlines()) == 2
    assert hub.handed_out == [message_id]


def test_a_message_that_gets_its_worker_killed_each_time_counts_as_crashed(
    hub: FakeHub, start_node: StartNode, tmp_path: Path
) -> None:
    start_node()
    file = tmp_path / "ran"
    error = hub.reply(hub.push(config(file=str(file)), "query.killed")).error
    assert error is not None
    assert error.code == ErrorCode.CLIENT_APP_CRASHED
    assert "SIGKILL" in error.reason
    assert len(file.read_text().splitlines()) == 3


def test_a_killed_zygote_is_started_anew(
    hub: FakeHub, start_node: StartNode, tmp_path: Path
) -> None:
    start_node()
    file = tmp_path / "ran"
    message_id = hub.push(config(file=str(file), stall=True), "query.once")
    (pid,) = wait_for_lines(file, 1)
    os.kill(psutil.Process(int(pid)).ppid(), signal.SIGKILL)
    assert hub.reply(message_id).error is None
    assert hub.handed_out == [message_id]


def test_a_message_outlasts_many_kills_of_the_zygote_but_not_any_number(
    hub: FakeHub, start_node: StartNode, tmp_path: Path
) -> None:
    start_node()
    file = tmp_path / "ran"
    message_id = hub.push(config(file=str(file)), "query.stuck")
    for times in range(1, 11):
        pid = wait_for_lines(file, times)[-1]
        os.kill(psutil.Process(int(pid)).ppid(), signal.SIGKILL)
    error = hub.reply(message_id).error
    assert error is not None
    assert error.code == ErrorCode.CLIENT_APP_CRASHED
    assert hub.handed_out == [message_id]


def test_a_zygote_killed_between_messages_is_started_anew(
    hub: FakeHub, start_node: StartNode
) -> None:
    start_node()
    for number in range(1, 4):
        metrics = hub.content(hub.push(RecordDict(), "query"))["metrics"]
        assert metrics["n"] == number
        zygote = psutil.Process(psutil.Process(metrics["pid"]).ppid())
        zygote.kill()
        wait_until_gone(metrics["pid"])


def test_an_ended_run_kills_its_worker_and_leaves_nothing(
    hub: FakeHub, start_node: StartNode, tmp_path: Path
) -> None:
    start_node()
    hub.content(hub.push(RecordDict(), "query"))
    file = tmp_path / "ran"
    hub.push(config(file=str(file)), "query.stuck")
    (pid,) = wait_for_lines(file, 1)
    began = time.monotonic()
    hub.end_run(1)
    wait_until_gone(int(pid))
    assert time.monotonic() - began < 10  # 2 s are promised
    hub.wait_for(lambda: hub.exchanges[-1].runs == [] and hub.exchanges[-1].capacity == 1)
    spool = tmp_path / "state" / "spool"
    wait_until(lambda: [path.name for path in spool.iterdir()] == ["objects"])


class SlowWriting:
    """Holds up a spool while it writes."""

    def __init__(self, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
        self._put = spool.put
        self.began, self.may_end, self.ended = (threading.Event() for _ in range(3))
        monkeypatch.setattr(spool, "put", self._put_slowly)

    def _put_slowly(self, *arguments: Any, **settings: Any) -> None:
        self.began.set()
        assert self.may_end.wait(30)
        self._put(*arguments, **settings)
        self.ended.set()


def test_a_reply_that_is_being_written_when_its_run_ends_does_not_stay(
    hub: FakeHub, start_node: StartNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start_node()
    writing = SlowWriting(running.node.spool, monkeypatch)
    hub.push(RecordDict(), "query")
    assert writing.began.wait(30)
    hub.end_run(1)
    wait_until(lambda: not running.node._runs)
    writing.may_end.set()
    assert writing.ended.wait(30)
    files = tmp_path / "state" / "spool"
    wait_until(lambda: [path.name for path in files.iterdir()] == ["objects"])
    assert running.node.spool.runs() == set()


def test_a_reply_that_is_being_written_when_nobody_waits_for_it_any_more_does_not_stay(
    hub: FakeHub, start_node: StartNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = start_node()
    writing = SlowWriting(running.node.spool, monkeypatch)
    message_id = hub.push(arrays(np.zeros(100_000, np.float32)))
    assert writing.began.wait(30)
    hub.drop(message_id)
    hub.wait_for(lambda: hub.exchanges[-1].capacity == 1)
    writing.may_end.set()
    assert writing.ended.wait(30)
    wait_until(lambda: running.node.spool.reply(message_id) is None)
    wait_until(lambda: not list((tmp_path / "state" / "spool" / "objects").iterdir()))


def test_a_message_that_nobody_waits_for_is_stopped_and_the_run_goes_on(
    hub: FakeHub, start_node: StartNode, tmp_path: Path
) -> None:
    start_node()
    file = tmp_path / "ran"
    message_id = hub.push(config(file=str(file)), "query.stuck")
    (pid,) = wait_for_lines(file, 1)
    hub.drop(message_id)
    wait_until_gone(int(pid))
    assert hub.content(hub.push(RecordDict(), "query"))["metrics"]["n"] == 1


def test_messages_of_two_runs_are_handled_at_once_if_allowed(
    hub: FakeHub, start_node: StartNode, tmp_path: Path
) -> None:
    hub.add_run(2, tmp_path / "app")
    start_node(concurrent=2)
    hub.push(config(file=str(tmp_path / "ran")), "query.stuck")
    wait_for_lines(tmp_path / "ran", 1)
    assert hub.content(hub.push(RecordDict(), "query", run_id=2))["metrics"]["n"] == 1
    assert max(len(exchange.holding) for exchange in hub.exchanges) <= 2


def test_a_busy_node_takes_no_more_than_it_may(
    hub: FakeHub, start_node: StartNode, tmp_path: Path
) -> None:
    hub.add_run(2, tmp_path / "app")
    start_node()
    stuck = hub.push(config(file=str(tmp_path / "ran")), "query.stuck")
    wait_for_lines(tmp_path / "ran", 1)
    hub.wait_for(lambda: hub.holding() == [stuck])
    waiting = hub.push(RecordDict(), "query", run_id=2)
    assert hub.exchanges[-1].capacity == 0
    assert hub.handed_out == [stuck]
    hub.drop(stuck)
    assert hub.content(waiting)["metrics"]["n"] == 1


def test_idleness_ends_a_worker_and_the_next_message_starts_one(
    hub: FakeHub, start_node: StartNode
) -> None:
    start_node(idle_seconds=0.2)
    first = hub.content(hub.push(RecordDict(), "query"))["metrics"]
    wait_until_gone(first["pid"])
    second = hub.content(hub.push(RecordDict(), "query"))["metrics"]
    assert second["n"] == 2
    assert second["pid"] != first["pid"]


def test_the_same_message_draws_the_same_numbers(hub: FakeHub, start_node: StartNode) -> None:
    drawn = set()
    for folder in ("one", "two"):
        node = start_node(folder)
        message_id = hub.push(RecordDict(), "query.facts", message_id="the-same")
        metrics = hub.content(message_id)["metrics"]
        drawn.add((metrics["random"], metrics["numpy"]))
        hub.replies.clear()
        node.stop()
    assert len(drawn) == 1


def test_large_arrays_travel_as_objects_and_go_with_their_reply(
    hub: FakeHub, start_node: StartNode, tmp_path: Path
) -> None:
    start_node()
    given = [np.full(100_000, 10 * n, np.float32) for n in range(3)]
    for _ in range(2):
        found = hub.content(hub.push(arrays(*given)))["arrays"].to_numpy_ndarrays()
        for n, array in enumerate(found):
            assert array.tobytes() == np.full(100_000, 10 * n + 1, np.float32).tobytes()
    hub.content(hub.push(RecordDict(), "query"))  # its work came with the acknowledgement
    objects = tmp_path / "state" / "spool" / "objects"
    wait_until(lambda: not list(objects.iterdir()))
    assert len(hub.uploads) == 3


def test_layers_that_do_not_change_travel_once(hub: FakeHub, start_node: StartNode) -> None:
    start_node()
    model = [np.full(100_000, n, np.float32) for n in range(3)]
    for _ in range(4):
        model = hub.content(hub.push(arrays(*model), "train.frozen"))["arrays"].to_numpy_ndarrays()
    assert model[2][0] == 6
    assert len(hub.downloads) == len(set(hub.downloads)) == 2 + 4
    assert len(hub.uploads) == 4


def test_a_download_that_breaks_off_is_taken_up_again(hub: FakeHub, start_node: StartNode) -> None:
    start_node()
    message_id = hub.push(arrays(np.zeros(1_000_000, np.float32)), shorten=True)
    (found,) = hub.content(message_id)["arrays"].to_numpy_ndarrays()
    assert found.sum() == 1_000_000


def test_a_wrong_object_is_never_given_to_the_app(hub: FakeHub, start_node: StartNode) -> None:
    start_node()
    error = hub.reply(hub.push(arrays(np.zeros(1_000_000, np.float32)), corrupt=True)).error
    assert error is not None
    assert error.code == ErrorCode.MESSAGE_UNAVAILABLE
    assert hub.content(hub.push(RecordDict(), "query"))["metrics"]["n"] == 1


def test_a_missing_object_is_told(hub: FakeHub, start_node: StartNode) -> None:
    start_node()
    error = hub.reply(hub.push(arrays(np.zeros(1_000_000, np.float32)), lose=True)).error
    assert error is not None
    assert error.code == ErrorCode.MESSAGE_UNAVAILABLE


def test_a_stopped_node_says_goodbye(hub: FakeHub, start_node: StartNode) -> None:
    node = start_node()
    hub.content(hub.push(RecordDict(), "query"))
    node.stop()
    assert node.error is None
    assert hub.left == [1]


def test_an_app_with_numerical_libraries_is_loaded_once(
    hub: FakeHub, start_node: StartNode, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub.add_run(2, write_app(tmp_path / "scipy", CLIENT + "\nimport scipy.linalg\n"))
    start_node()
    assert hub.content(hub.push(RecordDict(), "query", run_id=2))["metrics"]["n"] == 1
    assert "not forked" not in caplog.text
