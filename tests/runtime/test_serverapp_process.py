"""The process of a ServerApp, against a hub in memory."""

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from app_hub import AppHub
from processes import fab_of, start

from flwr.app import Error, Message, MetricRecord, RecordDict
from flwr.runtime import appprocess, bodies

HEAD = """
import os, sys
from pathlib import Path
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp, artifacts_dir, checkpoint

app = ServerApp()

def asks(grid, number=0):
    content = RecordDict({"config": ConfigRecord({"number": number})})
    return [Message(content, node, "train") for node in sorted(grid.get_node_ids())]

@app.main()
def main(grid: Grid, context: Context) -> None:
"""


@pytest.fixture
def hub() -> Iterator[AppHub]:
    with AppHub(dict.fromkeys((1, 2), count)) as hub:
        yield hub


def count(message: Message) -> RecordDict:
    return RecordDict({"metrics": MetricRecord({"number": message.content["config"]["number"]})})


def run(hub: AppHub, tmp_path: Path, body: str) -> tuple[int, str]:
    hub.fab = fab_of(tmp_path / "app", HEAD + body)
    started = start(hub, tmp_path)
    return started.wait(), started.output


def test_an_app_runs_to_its_end(hub: AppHub, tmp_path: Path) -> None:
    hub.run_config = {"rounds": 2}
    status, output = run(
        hub,
        tmp_path,
        """
    replies = grid.send_and_receive(asks(grid, 7))
    numbers = [reply.content["metrics"]["number"] for reply in replies]
    context.state["got"] = ConfigRecord({"numbers": numbers})
    print("rounds", context.run_config["rounds"], grid.run.fab_id, artifacts_dir().is_dir())
""",
    )
    assert status == 0
    assert hub.finished is not None
    assert (hub.finished.outcome, hub.finished.details) == ("completed", "")
    assert hub.finished.context is not None
    state = bodies.unpack(hub.finished.context, hub._give)
    assert state["got"] == {"numbers": [7, 7]}
    assert "rounds 2 me/app True" in output
    assert "rounds 2 me/app True" in hub.text
    assert [event.kind for event in hub.events] == ["run-started", "exchange"]


def test_everything_printed_is_told_also_by_children_and_c(hub: AppHub, tmp_path: Path) -> None:
    status, output = run(
        hub,
        tmp_path,
        """
    os.system("echo from a child")
    os.write(1, "from below: ä\\n".encode())
    print("to stderr", file=sys.stderr)
    print("no end of line", end="")
""",
    )
    assert status == 0
    for text in ("from a child\n", "from below: ä\n", "to stderr\n", "no end of line"):
        assert text in hub.text
        assert text in output


@pytest.mark.parametrize(
    ("code", "details", "exit_code"),
    [
        ("    raise KeyError('lost')", "KeyError: 'lost'", 201),
        ("    sys.exit('no')", "the app called sys.exit('no')", 201),
        ("    import nothing_like_it", "ModuleNotFoundError: No module", 201),
        (
            "    from flwr.serverapp.exception import AggregationError as E; raise E('odd')",
            "odd",
            202,
        ),
    ],
)
def test_an_app_that_raises_fails_its_run(
    hub: AppHub, tmp_path: Path, code: str, details: str, exit_code: int
) -> None:
    status, _ = run(hub, tmp_path, code + "\n")
    assert status == 0
    assert hub.finished is not None
    assert hub.finished.outcome == "failed"
    assert hub.finished.details.startswith(details)
    assert hub.finished.exit_code == exit_code
    assert "Traceback" in hub.text


def test_an_app_that_exits_with_success_completes(hub: AppHub, tmp_path: Path) -> None:
    run(hub, tmp_path, "    sys.exit(0)\n")
    assert hub.finished is not None
    assert hub.finished.outcome == "completed"


def test_an_app_that_does_not_load_fails_its_run(hub: AppHub, tmp_path: Path) -> None:
    run(hub, tmp_path, "    pass\nimport nothing_like_it\n")
    assert hub.finished is not None
    assert hub.finished.exit_code == 607
    assert "nothing_like_it" in hub.finished.details


def test_a_run_without_any_good_reply_has_failed(hub: AppHub, tmp_path: Path) -> None:
    hub.nodes = dict.fromkeys((1, 2), lambda _: Error(2, "ValueError: no data"))
    run(hub, tmp_path, "    grid.send_and_receive(asks(grid))\n")
    assert hub.finished is not None
    assert hub.finished.outcome == "failed"
    assert "All of its 2 messages" in hub.finished.details


def test_a_superseded_attempt_ends_quietly(hub: AppHub, tmp_path: Path) -> None:
    hub.fab = fab_of(tmp_path / "app", HEAD + "    print('never')\n")
    started = start(hub, tmp_path)
    hub.attempt = 2  # before it asks
    assert started.wait() == 0
    assert "never" not in started.output
    assert hub.finished is None


def test_an_app_whose_run_ends_is_ended(hub: AppHub, tmp_path: Path) -> None:
    hub.fab = fab_of(
        tmp_path / "app",
        HEAD
        + """
    import threading
    try:
        print("waits")
        threading.Event().wait(50)
    finally:
        Path(os.environ["FLWR_HOME"], "cleared").touch()
""",
    )
    started = start(hub, tmp_path)
    started.has_printed("waits")
    hub.end_run()
    os.kill(started.process.pid, signal.SIGTERM)
    started.wait()
    assert (tmp_path / "home" / "cleared").exists()
    assert hub.finished is None


WAITS = HEAD + "    import threading; print('waits'); threading.Event().wait(50)\n"


def test_a_signal_ends_the_attempt_and_not_the_run(hub: AppHub, tmp_path: Path) -> None:
    hub.fab = fab_of(tmp_path / "app", WAITS)
    started = start(hub, tmp_path)
    started.has_printed("waits")
    os.kill(started.process.pid, signal.SIGTERM)
    assert started.wait() == 143
    assert hub.finished is None


def test_a_second_signal_does_not_disturb_the_end(hub: AppHub, tmp_path: Path) -> None:
    # until its child lets go of what it prints on, or two seconds are over, an attempt is ending
    child = "    import subprocess; subprocess.Popen(['sleep', '30'])\n"
    hub.fab = fab_of(
        tmp_path / "app",
        HEAD
        + child
        + "    import threading\n    try:\n        print('waits')\n"
        + "        threading.Event().wait(50)\n    finally:\n        print('ends')\n",
    )
    started = start(hub, tmp_path)
    started.has_printed("waits")
    os.kill(started.process.pid, signal.SIGTERM)
    started.has_printed("ends")
    threading.Event().wait(0.3)
    os.kill(started.process.pid, signal.SIGTERM)
    assert started.wait() == 143
    os.killpg(started.process.pid, signal.SIGKILL)
    assert "Traceback" not in started.output


def test_a_hub_that_stays_away_is_given_up_in_the_end(hub: AppHub, tmp_path: Path) -> None:
    hub.fab = fab_of(tmp_path / "app", HEAD + "    print('waits'); grid.wait_nodes(9)\n")
    started = start(hub, tmp_path, patience=1.0)
    started.has_printed("waits")
    hub.stop()
    assert started.wait() == 1
    assert "Cannot reach" in started.output


def test_a_process_that_is_told_nothing_ends(tmp_path: Path) -> None:
    reads, writes = os.pipe()
    os.close(writes)
    assert appprocess.main(lambda _: None, ["--launch-fd", str(reads)]) == 0


def test_an_app_that_is_not_the_runs_is_refused(hub: AppHub, tmp_path: Path) -> None:
    hub.fab = fab_of(tmp_path / "app", WAITS)
    hub.told_fab_hash = "0" * 64
    start(hub, tmp_path).wait()
    assert hub.finished is not None
    assert "another one than that of the run" in hub.finished.details


def test_a_killed_main_goes_on_from_its_checkpoint(hub: AppHub, tmp_path: Path) -> None:
    hub.fab = fab_of(
        tmp_path / "app",
        HEAD
        + """
    import random
    state = context.state
    if "progress" not in state:
        state["progress"] = ConfigRecord({"done": 0, "sum": 0})
    for number in range(state["progress"]["done"], 4):
        drawn = random.randrange(1000)
        replies = grid.send_and_receive(asks(grid, drawn))
        state["progress"]["sum"] += sum(r.content["metrics"]["number"] for r in replies)
        state["progress"]["done"] = number + 1
        if number == 1 and grid.run.run_id and not Path(os.environ["FLWR_HOME"], "died").exists():
            Path(os.environ["FLWR_HOME"], "died").touch()
            os.kill(os.getpid(), 9)
        checkpoint(grid)
""",
    )
    assert start(hub, tmp_path).wait() == -9
    hub.attempt = 2
    assert start(hub, tmp_path).wait() == 0
    assert hub.finished is not None
    assert hub.finished.context is not None
    progress = bodies.unpack(hub.finished.context, hub._give)["progress"]
    assert progress["done"] == 4
    assert set(hub.worked.values()) == {1}
    assert len(hub.worked) == 8
