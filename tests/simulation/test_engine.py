"""The engine through its grid: what a ServerApp sees."""

import gc
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import sim_apps

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.app.events import Event, Exchange, RunStarted
from flwr.clientapp import ClientApp
from flwr.errors import AppLoadError, EngineError, NotEnoughNodesError
from flwr.serverapp import Grid
from flwr.simulation.engine import AppReference, simulate

Run = Callable[..., Context]


def to_all(grid: Grid, kind: str, content: RecordDict | None = None) -> list[Message]:
    shared = content if content is not None else RecordDict()
    return [Message(shared, node_id, kind) for node_id in grid.get_node_ids()]


def config(**values: object) -> RecordDict:
    return RecordDict({"config": ConfigRecord(values)})


def test_replies_come_in_push_order_from_several_processes(run: Run) -> None:
    def main(grid: Grid, context: Context) -> None:
        messages = to_all(grid, "query")
        replies = grid.send_and_receive(messages)
        assert isinstance(replies, list)
        assert [r.metadata.src_node_id for r in replies] == list(grid.get_node_ids())
        assert [r.metadata.reply_to_message_id for r in replies] == [
            m.metadata.message_id for m in messages
        ]
        assert all(r.metadata.dst_node_id == 1 and r.metadata.message_id for r in replies)
        assert [r.content["metrics"]["partition"] for r in replies] == list(range(20))
        pids = {r.content["metrics"]["pid"] for r in replies}
        assert os.getpid() not in pids
        assert 1 <= len(pids) <= 2

    run(main, sim_apps.app, nodes=20)


def test_stamps_messages_and_refuses_invalid_ones(run: Run) -> None:
    def main(grid: Grid, context: Context) -> None:
        (message, *_) = to_all(grid, "query")
        (first,) = grid.push_messages([message])
        assert message.metadata.message_id == first
        assert message.metadata.src_node_id == 1
        (second,) = grid.push_messages(iter([message]))
        assert second != first
        assert list(grid.push_messages([])) == []
        assert list(grid.send_and_receive([])) == []
        for ttl in (-1.0, float("nan")):
            node_id = message.metadata.dst_node_id
            with pytest.raises(ValueError, match="ttl must be seconds, 0 or more"):
                grid.push_messages([Message(RecordDict(), node_id, "query", ttl=ttl)])
        with pytest.raises(AttributeError):
            grid.push_messages([3])  # type: ignore[list-item]  # the mistake that is tested

    run(main, sim_apps.app)


def test_pull_gives_each_reply_once(run: Run) -> None:
    def main(grid: Grid, context: Context) -> None:
        ids = list(grid.push_messages(to_all(grid, "query")))
        replies: list[Message] = []
        deadline = time.monotonic() + 30
        while len(replies) < 4 and time.monotonic() < deadline:
            wanted = [i for i in ids if i not in {r.metadata.reply_to_message_id for r in replies}]
            replies.extend(grid.pull_messages(wanted))
        assert sorted(r.metadata.reply_to_message_id for r in replies) == sorted(ids)
        (again,) = grid.pull_messages(ids[:1])
        assert again.error.code == 3
        assert again.metadata.reply_to_message_id == ids[0]
        (unknown,) = grid.pull_messages(["nobody's"])
        assert (unknown.error.code, unknown.metadata.message_type) == (3, "system")

    run(main, sim_apps.app)


def test_pushed_messages_go_on_while_nobody_looks(run: Run) -> None:
    def main(grid: Grid, context: Context) -> None:
        grid.send_and_receive(to_all(grid, "query"))  # the workers are there
        for wait in (0.5, 2.0, 8.0):  # a busy machine may need more than one try
            content = config(seconds=0.005)
            ids = list(grid.push_messages(to_all(grid, "query.sleep", content)))
            threading.Event().wait(wait)
            # One look, and all were there: without help, each worker would have done one.
            if len(list(grid.pull_messages(ids))) == 40:
                return
        pytest.fail("pushed messages waited until somebody looked")

    run(main, sim_apps.app, nodes=40)


def test_unknown_destination_is_answered(run: Run) -> None:
    def main(grid: Grid, context: Context) -> None:
        messages = to_all(grid, "query")
        messages.insert(1, Message(RecordDict(), 12345, "query"))
        ids = list(grid.push_messages(messages))
        assert len(ids) == 5
        replies = list(grid.send_and_receive(messages))
        assert [r.has_error() for r in replies] == [False, True, False, False, False]
        assert replies[1].error.code == 5

    run(main, sim_apps.app)


def test_timeout_returns_what_is_there(run: Run) -> None:
    def main(grid: Grid, context: Context) -> None:
        grid.send_and_receive(to_all(grid, "query"))  # the workers are there
        hang = config(how="hang", partitions=[0])
        replies = list(grid.send_and_receive(to_all(grid, "query.misbehave", hang), timeout=8))
        assert [r.metadata.src_node_id for r in replies] == list(grid.get_node_ids())[1:]
        assert list(grid.send_and_receive(to_all(grid, "query"), timeout=0)) == []

    run(main, sim_apps.app)


def test_time_to_live_ends_in_an_error_reply(run: Run) -> None:
    def main(grid: Grid, context: Context) -> None:
        first = next(iter(grid.get_node_ids()))
        hang = config(how="hang", partitions=[0])
        (reply,) = grid.send_and_receive([Message(hang, first, "query.misbehave", ttl=1.0)])
        assert reply.error.code == 3

    run(main, sim_apps.app)


def test_several_messages_to_one_node_are_handled_in_order(run: Run) -> None:
    def main(grid: Grid, context: Context) -> None:
        ids = list(grid.get_node_ids())
        messages = [Message(RecordDict(), ids[i % 2], "query.count") for i in range(20)]
        replies = grid.send_and_receive(messages)
        assert [r.content["metrics"]["n"] for r in replies] == [1 + i // 2 for i in range(20)]

    run(main, sim_apps.app)


def test_state_persists_per_node_and_only_after_success(run: Run) -> None:
    def main(grid: Grid, context: Context) -> None:
        def count(**values: object) -> list[object]:
            replies = grid.send_and_receive(to_all(grid, "query.count", config(**values)))
            return [
                r.error.code
                if r.has_error()
                else (r.content["metrics"]["n"], r.content["metrics"]["sum"])
                for r in replies
            ]

        assert count() == [(1, 50_000.0)] * 4
        assert count() == [(2, 100_000.0)] * 4
        assert count(fail=True) == [2] * 4
        assert count() == [(3, 150_000.0)] * 4
        only_one = [Message(RecordDict(), grid.get_node_ids().at(2), "query.count")]  # type: ignore[attr-defined]
        grid.send_and_receive(only_one)
        assert [n for n, _ in count()] == [4, 4, 5, 4]  # type: ignore[misc]
        assert count(clear=True)[0] == (5, 250_000.0)
        assert count() == [(1, 50_000.0)] * 4

    run(main, sim_apps.app)
    run(main, sim_apps.app, debug=True)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("raise", "ValueError: no such data"),
        ("sys.exit", "SystemExit: 3"),
        ("run_config", "ValueError: The `run_config` field"),
        ("nothing", "TypeError"),
    ],
)
@pytest.mark.parametrize("debug", [False, True])
def test_a_failing_client_is_an_error_reply(
    run: Run, how: str, expected: str, debug: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def main(grid: Grid, context: Context) -> None:
        content = config(how=how, partitions=[1])
        replies = list(grid.send_and_receive(to_all(grid, "query.misbehave", content)))
        assert [r.has_error() for r in replies] == [False, True, False, False]
        error = replies[1].error
        assert error.code == 2
        assert error.reason is not None
        assert error.reason.startswith(expected)
        assert "\x1b" not in error.reason
        if how == "raise":
            assert 'raise ValueError("no such data")' in error.reason  # the user's own line
            assert "flwr/runtime" not in error.reason

    run(main, sim_apps.app, debug=debug)
    (record,) = [r for r in caplog.records if r.levelname == "ERROR"]
    assert expected in record.getMessage()
    assert "Node " in record.getMessage()


def test_node_config_does_not_leak(run: Run) -> None:
    def main(grid: Grid, context: Context) -> None:
        content = config(how="node_config", partitions=[0, 1, 2, 3])
        grid.send_and_receive(to_all(grid, "query.misbehave", content))
        replies = grid.send_and_receive(to_all(grid, "query"))
        assert [r.content["metrics"]["partition"] for r in replies] == [0, 1, 2, 3]

    run(main, sim_apps.app)


@pytest.mark.parametrize(
    ("how", "why"), [("exit", "status 7"), ("segfault", "SIGSEGV"), ("kill", "out-of-memory")]
)
def test_a_crashed_worker_costs_one_reply(run: Run, how: str, why: str) -> None:
    def main(grid: Grid, context: Context) -> None:
        grid.send_and_receive(to_all(grid, "query"))  # paces the batches: several at once
        content = config(how=how, partitions=[5, 13])
        replies = list(grid.send_and_receive(to_all(grid, "query.misbehave", content)))
        assert len(replies) == 30
        failed = {i: r for i, r in enumerate(replies) if r.has_error()}
        assert sorted(failed) == [5, 13]
        for reply in failed.values():
            assert reply.error.code == 8
            assert why in str(reply.error.reason)
        again = grid.send_and_receive(to_all(grid, "query"))
        assert not any(r.has_error() for r in again)

    run(main, sim_apps.app, nodes=30)


def test_a_worker_killed_from_outside_is_replaced(run: Run) -> None:
    def main(grid: Grid, context: Context) -> None:
        (reply, *_) = grid.send_and_receive(to_all(grid, "query"))
        os.kill(reply.content["metrics"]["pid"], 9)
        replies = grid.send_and_receive(to_all(grid, "query"))
        assert sum(r.has_error() for r in replies) <= 1

    run(main, sim_apps.app)


def test_the_end_of_the_process_that_starts_workers_ends_the_run(run: Run) -> None:
    def main(grid: Grid, context: Context) -> None:
        (reply, *_) = grid.send_and_receive(to_all(grid, "query"))
        status = Path(f"/proc/{reply.content['metrics']['pid']}/status").read_text()
        (parent,) = [line.split()[1] for line in status.splitlines() if line.startswith("PPid:")]
        os.kill(int(parent), 9)
        for _ in range(100):
            grid.send_and_receive(to_all(grid, "query"))

    with pytest.raises(EngineError, match="status -9"):
        run(main, sim_apps.app)


def test_large_arrays_keep_their_values(run: Run) -> None:
    def main(grid: Grid, context: Context) -> None:
        arrays = [np.arange(300_000, dtype=np.float32), np.ones((3, 5), np.float32)]
        for _ in range(3):
            shared = RecordDict({"arrays": ArrayRecord(arrays)})
            for index, reply in enumerate(grid.send_and_receive(to_all(grid, "train", shared))):
                got = reply.content["arrays"].to_numpy_ndarrays()
                little = np.float32(1 + index / 8)
                assert np.array_equal(got[0], arrays[0] + little)
                assert np.array_equal(got[1], arrays[1] + little)

    run(main, sim_apps.app, nodes=7)


def test_each_node_may_get_arrays_of_its_own(run: Run) -> None:
    def main(grid: Grid, context: Context) -> None:
        for size in (10, 200_000):
            messages = [
                Message(
                    RecordDict({"arrays": ArrayRecord([np.full(size, i, np.float32)])}),
                    node,
                    "train",
                )
                for i, node in enumerate(grid.get_node_ids())
            ]
            replies = grid.send_and_receive(messages)
            got = [float(r.content["arrays"].to_numpy_ndarrays()[0][-1]) for r in replies]
            assert got == [i + 1 + i / 8 for i in range(6)]

    run(main, sim_apps.app, nodes=6)


@pytest.mark.parametrize("size", [3, 40_000, 1_000_000])
def test_replies_may_be_larger_than_what_was_sent(run: Run, size: int) -> None:
    def main(grid: Grid, context: Context) -> None:
        for _ in range(2):
            replies = grid.send_and_receive(to_all(grid, "query.grow", config(size=size)))
            for index, reply in enumerate(replies):
                first = reply.content["first"].to_numpy_ndarrays()[0]
                third = reply.content["third"].to_numpy_ndarrays()[0]
                assert first.shape == third.shape == (size,)
                assert (first == index).all()
                assert (third == index + 0.5).all()
                assert len(reply.content["second"]) == 0

    run(main, sim_apps.app, nodes=5)


def test_replies_that_are_held_never_change(run: Run) -> None:
    def main(grid: Grid, context: Context) -> None:
        held: list[tuple[float, Message]] = []
        for value in range(6):
            arrays = ArrayRecord([np.full(2_000_000, value, np.float32)])
            shared = RecordDict({"arrays": arrays})
            for index, reply in enumerate(grid.send_and_receive(to_all(grid, "train", shared))):
                held.append((value + 1 + index / 8, reply))
        for _ in range(2):
            for value, reply in held:
                (array,) = reply.content["arrays"].to_numpy_ndarrays()
                assert (array == np.float32(value)).all()
        del held
        gc.collect()

    run(main, sim_apps.app, nodes=6)


def test_views_of_a_reply_stay_readable_after_the_run(run: Run) -> None:
    outside: list[Message] = []

    def main(grid: Grid, context: Context) -> None:
        arrays = ArrayRecord([np.zeros(200_000, np.float32)])
        outside.extend(grid.send_and_receive(to_all(grid, "train", RecordDict({"arrays": arrays}))))

    run(main, sim_apps.app)
    values = [float(r.content["arrays"].to_numpy_ndarrays()[0][5]) for r in outside]
    assert values == [1.0, 1.125, 1.25, 1.375]
    outside.clear()


@pytest.mark.parametrize("size", [10, 200_000])
def test_what_client_code_keeps_never_changes(run: Run, size: int) -> None:
    def main(grid: Grid, context: Context) -> None:
        for value in range(5):
            shared = RecordDict({"arrays": ArrayRecord([np.full(size, value, np.float32)])})
            for reply in grid.send_and_receive(to_all(grid, "query.keep", shared)):
                assert reply.content["metrics"]["changed"] == 0
                assert (reply.content["arrays"].to_numpy_ndarrays()[0] == 2 * value).all()

    run(main, sim_apps.app, nodes=4)


def test_a_content_is_sent_as_it_was_when_pushed(run: Run) -> None:
    def main(grid: Grid, context: Context) -> None:
        arrays = ArrayRecord([np.zeros(200_000, np.float32)])
        shared = RecordDict({"arrays": arrays})
        messages = to_all(grid, "train", shared)
        ids = list(grid.push_messages(messages))
        shared["arrays"] = ArrayRecord([np.full(200_000, 50, np.float32)])
        replies: list[Message] = []
        while len(replies) < 9:
            replies.extend(grid.pull_messages(ids))
            replies = [r for r in replies if r.has_content()]
        assert max(float(r.content["arrays"].to_numpy_ndarrays()[0][0]) for r in replies) < 3

    run(main, sim_apps.app, nodes=9)


def test_stream_gives_replies_one_by_one(run: Run) -> None:
    def main(grid: Grid, context: Context) -> None:
        arrays = ArrayRecord([np.zeros(500_000, np.float32)])
        shared = RecordDict({"arrays": arrays})
        seen = [
            reply.metadata.src_node_id
            for reply in grid.stream(to_all(grid, "train", shared))  # type: ignore[attr-defined]
        ]
        assert seen == list(grid.get_node_ids())

    run(main, sim_apps.app, nodes=12)


def test_several_threads_may_send_at_once(run: Run) -> None:
    def main(grid: Grid, context: Context) -> None:
        got: dict[int, int] = {}

        def one(index: int) -> None:
            node = grid.get_node_ids().at(index)  # type: ignore[attr-defined]
            (reply,) = grid.send_and_receive([Message(RecordDict(), node, "query")])
            got[index] = reply.content["metrics"]["partition"]

        threads = [threading.Thread(target=one, args=(i,)) for i in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert got == {i: i for i in range(16)}

    run(main, sim_apps.app, nodes=16)


def test_random_numbers_of_clients_follow_the_seed(run: Run) -> None:
    import random

    draws: list[list[tuple[float, float]]] = []

    def main(grid: Grid, context: Context) -> None:
        random.seed(7)
        drawn = []
        for _ in range(2):
            for reply in grid.send_and_receive(to_all(grid, "query")):
                metrics = reply.content["metrics"]
                drawn.append((metrics["random"], metrics["numpy"]))
        draws.append(drawn)

    run(main, sim_apps.app, nodes=8, cpus=1)
    run(main, sim_apps.app, nodes=8, cpus=3)
    run(main, sim_apps.app, nodes=8, debug=True)
    assert draws[0] == draws[1] == draws[2]
    assert len(set(draws[0])) == 16


def test_debug_runs_in_this_process_and_thread(run: Run) -> None:
    def main(grid: Grid, context: Context) -> None:
        for reply in grid.send_and_receive(to_all(grid, "query")):
            assert reply.content["metrics"]["pid"] == os.getpid()
            assert reply.content["metrics"]["thread"] == threading.get_ident()

    run(main, sim_apps.app, debug=True)


def test_a_system_without_fork_runs_in_this_process(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "fork")

    def main(grid: Grid, context: Context) -> None:
        for reply in grid.send_and_receive(to_all(grid, "query")):
            assert reply.content["metrics"]["pid"] == os.getpid()

    run(main, sim_apps.app)


def test_events_tell_what_happened(run: Run) -> None:
    events: list[Event] = []

    def main(grid: Grid, context: Context) -> None:
        content = config(how="raise", partitions=[2])
        grid.send_and_receive(to_all(grid, "query.misbehave", content))

    run(main, sim_apps.app, listener=events.append)
    started, exchange = events
    assert isinstance(started, RunStarted)
    assert (started.nodes, started.workers) == (4, 2)
    assert isinstance(exchange, Exchange)
    assert exchange.message_type == "query.misbehave"
    assert len(exchange.outcomes) == 4
    (failed,) = [o for o in exchange.outcomes if o.error]
    assert str(failed.error).startswith("ValueError: no such data")


def test_wait_nodes_knows_that_the_size_is_final(run: Run) -> None:
    def main(grid: Grid, context: Context) -> None:
        grid.wait_nodes(4)  # type: ignore[attr-defined]
        with pytest.raises(NotEnoughNodesError, match="5 nodes are asked for.*has 4"):
            grid.wait_nodes(5)  # type: ignore[attr-defined]

    run(main, sim_apps.app)


def test_context_of_the_server(run: Run) -> None:
    def main(grid: Grid, context: Context) -> None:
        assert (context.node_id, context.run_config) == (0, {"lr": 0.1})
        (reply, *_) = grid.send_and_receive(to_all(grid, "query"))
        assert reply.content["config"]["run-config"] == "{'lr': 0.1}"
        context.state["done"] = MetricRecord({"rounds": 1})

    context = run(main, sim_apps.app, run_config={"lr": 0.1})
    assert context.state["done"]["rounds"] == 1


def test_what_the_server_raises_comes_out(run: Run) -> None:
    class OurOwnError(Exception):
        pass

    def main(grid: Grid, context: Context) -> None:
        grid.send_and_receive(to_all(grid, "query"))
        raise OurOwnError

    with pytest.raises(OurOwnError):
        run(main, sim_apps.app)


@pytest.mark.parametrize("nodes", [0, -1, 1.5, True])
def test_the_number_of_nodes_is_checked(run: Run, nodes: int) -> None:
    with pytest.raises(ValueError, match="num_supernodes"):
        run(lambda grid, context: None, sim_apps.app, nodes=nodes)


def test_an_app_by_reference_is_loaded_by_the_workers_only(run: Run, tmp_path: Path) -> None:
    (tmp_path / "lonely_client.py").write_text(
        "from flwr.app import Message, RecordDict\nfrom flwr.clientapp import ClientApp\n"
        "app = ClientApp()\n@app.query()\ndef q(message, context):\n"
        "    return Message(RecordDict(), reply_to=message)\n"
    )

    def main(grid: Grid, context: Context) -> None:
        import sys

        assert all(r.has_content() for r in grid.send_and_receive(to_all(grid, "query")))
        assert "lonely_client" not in sys.modules

    run(main, AppReference("lonely_client:app", tmp_path))


def test_an_app_that_starts_threads_is_not_forked(run: Run, tmp_path: Path) -> None:
    """A fork of a process with threads can hang: such an app's workers are started by exec."""
    (tmp_path / "threaded_client.py").write_text(
        "import threading\nfrom flwr.app import Message, MetricRecord, RecordDict\n"
        "from flwr.clientapp import ClientApp\n"
        "app = ClientApp()\nready = threading.Event()\n"
        "def stay():\n    ready.set()\n    threading.Event().wait()\n"
        "threading.Thread(target=stay, daemon=True).start()\n"
        "@app.query()\ndef q(message, context):\n"
        "    alive = ready.wait(10) and threading.active_count()\n"
        "    records = RecordDict({'m': MetricRecord({'threads': alive})})\n"
        "    return Message(records, reply_to=message)\n"
    )

    def main(grid: Grid, context: Context) -> None:
        for reply in grid.send_and_receive(to_all(grid, "query")):
            assert reply.content["m"]["threads"] == 2  # not lost in a fork

    run(main, AppReference("threaded_client:app", tmp_path))


def test_an_app_that_does_not_load_says_why(run: Run, tmp_path: Path) -> None:
    (tmp_path / "broken_client.py").write_text("import no_such_package\n\napp = None\n")

    def main(grid: Grid, context: Context) -> None:
        grid.send_and_receive(to_all(grid, "query"))

    with pytest.raises(AppLoadError, match="no_such_package"):
        run(main, AppReference("broken_client:app", tmp_path))


def test_an_app_of_a_module_that_cannot_be_imported(run: Run, tmp_path: Path) -> None:
    import importlib.util

    path = tmp_path / "odd file.py"
    path.write_text(
        "from flwr.app import Message, MetricRecord, RecordDict\n"
        "from flwr.clientapp import ClientApp\n"
        "app = ClientApp()\nCONSTANT = 5\n@app.query()\ndef q(message, context):\n"
        "    records = RecordDict({'m': MetricRecord({'v': CONSTANT})})\n"
        "    return Message(records, reply_to=message)\n"
    )
    spec = importlib.util.spec_from_file_location("odd_module_name", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def main(grid: Grid, context: Context) -> None:
        for reply in grid.send_and_receive(to_all(grid, "query")):
            assert reply.content["m"]["v"] == 5

    import sys

    sys.modules["odd_module_name"] = module
    try:
        run(main, module.app)
    finally:
        del sys.modules["odd_module_name"]


def test_closures_are_handed_over(run: Run) -> None:
    client = ClientApp()
    value = 17

    @client.query()
    def query(message: Message, context: Context) -> Message:
        return Message(RecordDict({"m": MetricRecord({"v": value})}), reply_to=message)

    def main(grid: Grid, context: Context) -> None:
        assert {r.content["m"]["v"] for r in grid.send_and_receive(to_all(grid, "query"))} == {17}

    run(main, client)


def test_simulate_needs_no_arguments_but_the_apps() -> None:
    from flwr.serverapp import ServerApp

    server = ServerApp()

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        assert len(list(grid.send_and_receive(to_all(grid, "query")))) == 1

    simulate(server, sim_apps.app, nodes=1)
