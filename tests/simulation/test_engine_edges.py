"""The engine at its edges: what a reviewer, or a user with bad luck, would run into."""

import logging
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sim_apps

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.errors import AppLoadError, EngineError
from flwr.serverapp import Grid
from flwr.simulation.engine import AppReference

Run = Callable[..., Context]


def to_all(grid: Grid, kind: str, content: RecordDict | None = None) -> list[Message]:
    shared = content if content is not None else RecordDict()
    return [Message(shared, node_id, kind) for node_id in grid.get_node_ids()]


def config(**values: object) -> RecordDict:
    return RecordDict({"config": ConfigRecord(values)})


def test_pulling_before_the_first_push(run: Run) -> None:
    def main(grid: Grid, context: Context) -> None:
        for _ in range(20):
            threading.Event().wait(0.05)
            assert list(grid.pull_messages([])) == []
        assert len(list(grid.send_and_receive(to_all(grid, "query"), timeout=30))) == 4

    run(main, sim_apps.app)


def test_a_timeout_holds_while_the_app_is_loaded(run: Run, tmp_path: Path) -> None:
    (tmp_path / "slow_client.py").write_text(
        "import threading\nthreading.Event().wait(3)\n"
        "from flwr.app import Message, RecordDict\nfrom flwr.clientapp import ClientApp\n"
        "app = ClientApp()\n@app.query()\ndef q(message, context):\n"
        "    return Message(RecordDict(), reply_to=message)\n"
    )

    def main(grid: Grid, context: Context) -> None:
        assert list(grid.send_and_receive(to_all(grid, "query"), timeout=0.2)) == []
        ids = grid.push_messages(to_all(grid, "query"))
        assert list(grid.pull_messages(ids)) == []
        assert len(list(grid.send_and_receive(to_all(grid, "query")))) == 4

    run(main, AppReference("slow_client:app", tmp_path))


@pytest.mark.parametrize("count", [90, 300])
def test_a_message_of_many_large_records(run: Run, count: int) -> None:
    def main(grid: Grid, context: Context) -> None:
        records = {f"r{i}": ArrayRecord([np.full(40_000, i, np.float32)]) for i in range(count)}
        # records that arrived in separate segments are sent on from there
        replies = grid.send_and_receive(
            to_all(grid, "train", RecordDict({"arrays": records["r0"]}))
        )
        forwarded = {f"f{i}": r.content["arrays"] for i, r in enumerate(replies)}
        content = RecordDict({**records, **forwarded})
        (reply,) = grid.send_and_receive(to_all(grid, "query.names", content)[:1], timeout=60)
        assert reply.content["metrics"]["records"] == count + 100
        expected = sum(range(count)) + sum(1 + i / 8 for i in range(100))
        assert reply.content["metrics"]["sum"] == expected

    run(main, sim_apps.app, nodes=100)


def test_descriptors_do_not_grow_with_messages_or_kept_replies(run: Run) -> None:
    def main(grid: Grid, context: Context) -> None:
        before = len(os.listdir("/proc/self/fd"))
        messages = [
            Message(
                RecordDict({"arrays": ArrayRecord([np.full(40_000, i, np.float32)])}), node, "train"
            )
            for i, node in enumerate(grid.get_node_ids())
        ]
        replies = list(grid.send_and_receive(messages))
        assert len(os.listdir("/proc/self/fd")) - before < 200
        got = [float(r.content["arrays"].to_numpy_ndarrays()[0][0]) for r in replies]
        assert got == [np.float32(i) + np.float32(1 + i / 8) for i in range(400)]

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 400), hard))
    try:
        run(main, sim_apps.app, nodes=400)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_model_stays_in_place_while_workers_read_it(run: Run) -> None:
    """Replies that are spilled make room; what is still being read must not move with them."""

    def main(grid: Grid, context: Context) -> None:
        for value in range(8):
            model = ArrayRecord([np.full(5_000_000, value, np.float32)])
            replies = grid.send_and_receive(
                to_all(grid, "train.twice", RecordDict({"arrays": model}))
            )
            for reply in replies:
                (array,) = reply.content["arrays"].to_numpy_ndarrays()
                assert (array == 1).all()
            forwarded = RecordDict({"arrays": replies[0].content["arrays"]})
            for reply in grid.send_and_receive(to_all(grid, "train.twice", forwarded)):
                (array,) = reply.content["arrays"].to_numpy_ndarrays()
                assert (array == 1).all()

    run(main, sim_apps.app, nodes=6)


def test_one_message_object_may_be_sent_again_and_again(run: Run) -> None:
    def main(grid: Grid, context: Context) -> None:
        ids = list(grid.get_node_ids())
        message = Message(RecordDict(), ids[0], "query")
        pushed = []
        for node_id in ids:
            message.metadata.dst_node_id = node_id
            pushed += grid.push_messages([message])
        pushed += grid.push_messages([message, message])
        assert len(set(pushed)) == 6
        replies: list[Message] = []
        while len(replies) < 6:
            there = {r.metadata.reply_to_message_id for r in replies}
            replies += grid.pull_messages([i for i in pushed if i not in there])
        replies.sort(key=lambda r: pushed.index(r.metadata.reply_to_message_id))
        assert [r.metadata.src_node_id for r in replies] == [*ids, ids[-1], ids[-1]]
        assert [r.content["metrics"]["partition"] for r in replies] == [0, 1, 2, 3, 3, 3]

    run(main, sim_apps.app)


def test_clients_that_were_quick_and_are_slow_now_share_the_workers(run: Run) -> None:
    def main(grid: Grid, context: Context) -> None:
        for _ in range(10):
            grid.send_and_receive(to_all(grid, "query.sleep", config(seconds=0.0)))
        replies = grid.send_and_receive(to_all(grid, "query.sleep", config(seconds=0.1)))
        pids = [r.content["metrics"]["pid"] for r in replies]
        assert len(set(pids)) == 4
        assert max(map(pids.count, pids)) <= 3

    run(main, sim_apps.app, nodes=8, cpus=4)


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("how", ["surrogate", "raise surrogate", "state"])
def test_what_cannot_be_sent_back_is_an_error_reply(run: Run, how: str, debug: bool) -> None:
    def main(grid: Grid, context: Context) -> None:
        content = config(how=how, partitions=[1])
        replies = list(grid.send_and_receive(to_all(grid, "query.misbehave", content)))
        assert [r.has_error() for r in replies] == [False, True, False, False]
        assert replies[1].error.code == 2

    run(main, sim_apps.app, debug=debug)


def test_a_grid_that_outlives_its_run_says_so(run: Run) -> None:
    grids: list[Grid] = []

    def main(grid: Grid, context: Context) -> None:
        grids.append(grid)
        grid.send_and_receive(to_all(grid, "query"))

    run(main, sim_apps.app)
    with pytest.raises(EngineError, match="The run has ended"):
        grids[0].send_and_receive(to_all(grids[0], "query"))
    with pytest.raises(EngineError, match="The run has ended"):
        grids[0].pull_messages(["x"])


@pytest.mark.parametrize("timeout", [float("nan"), -1.0])
def test_a_timeout_must_be_a_number_of_seconds(run: Run, timeout: float) -> None:
    def main(grid: Grid, context: Context) -> None:
        with pytest.raises(ValueError, match="timeout must be"):
            list(grid.send_and_receive(to_all(grid, "query"), timeout=timeout))

    run(main, sim_apps.app)


def test_an_app_that_cannot_be_copied_says_what_to_do(run: Run) -> None:
    client, lock = ClientApp(), threading.Lock()

    @client.query()
    def query(message: Message, context: Context) -> Message:
        with lock:
            return Message(RecordDict(), reply_to=message)

    with pytest.raises(AppLoadError, match=r"(?s)'_thread.lock'.*inside the function"):
        run(lambda grid, context: None, client)


def test_the_data_that_an_app_holds_is_copied_once(run: Run) -> None:
    client, data = ClientApp(), np.ones(64 << 20, np.uint8)

    @client.query()
    def query(message: Message, context: Context) -> Message:
        status = Path(f"/proc/{os.getppid()}/status").read_text()  # of the process that loaded it
        [peak] = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
        metrics = MetricRecord({"sum": int(data.sum()), "peak": int(peak) << 10})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    def main(grid: Grid, context: Context) -> None:
        for reply in grid.send_and_receive(to_all(grid, "query")):
            metrics = reply.content["metrics"]
            assert metrics["sum"] == data.size
            # its own copy, and the pages of the shared one that it was read from
            assert metrics["peak"] < 64e6 + 2.5 * data.nbytes

    run(main, client)


class StartsThread:
    """An object that starts a thread where it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[], object], tuple[()]]:
        def start() -> StartsThread:
            threading.Thread(target=threading.Event().wait, daemon=True).start()
            return StartsThread()

        return start, ()


def test_an_app_by_value_that_starts_threads_is_loaded_by_each_worker(
    run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    client, starts, data = ClientApp(), StartsThread(), np.arange(1 << 20)

    @client.query()
    def query(message: Message, context: Context) -> Message:
        assert starts is not None
        metrics = MetricRecord({"sum": int(data.sum())})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    def main(grid: Grid, context: Context) -> None:
        for reply in grid.send_and_receive(to_all(grid, "query")):
            assert reply.content["metrics"]["sum"] == data.sum()

    with caplog.at_level(logging.INFO, "flwr"):
        run(main, client)
    assert "Workers are started anew, not forked" in caplog.text


SCRIPT = """
import sys
from flwr.app import Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.simulation import run_simulation

client, server = ClientApp(), ServerApp()

@client.query()
def query(message, context):
    raise RuntimeError("on this line")

@server.main()
def main(grid, context):
    ids = list(grid.get_node_ids())
    (reply,) = grid.send_and_receive([Message(RecordDict(), ids[0], "query")])
    print(reply.error.reason)

run_simulation(server, client, 2)
"""


def run_python(tmp_path: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    assert time.monotonic() - began < 60
    return done


def test_the_traceback_of_a_scripts_client_names_its_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    done = run_python(tmp_path, "script.py")
    assert 'script.py", line 12, in query' in done.stdout
    assert 'raise RuntimeError("on this line")' in done.stdout
    assert "dynamic-code" not in done.stdout
    assert "clientapp.py" not in done.stdout
    assert "Exception ignored" not in done.stderr


def test_a_module_that_runs_its_own_simulation_starts_only_one(tmp_path: Path) -> None:
    (tmp_path / "unguarded.py").write_text(SCRIPT)
    done = run_python(tmp_path, "-c", "import unguarded")
    assert done.stdout.count("RuntimeError: on this line") == 1, done.stderr
    assert done.returncode == 0
    assert done.stderr.count("Simulating") == 1
