"""Faults across rooms, in real deployments: networks, clocks, disks, and nodes that are stuck."""

import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from chaos import STRATEGY, arrays_of, blobs_of, read_journal, submit, write_chaos_app
from cutting import CuttingProxy
from deployed import Deployment, gate, wait_gone, wait_until

Deploy = Callable[..., Deployment]
WriteApp = Callable[..., Path]
HOUR = 3600


def patch(folder: Path, code: str) -> Path:
    """Write a module that Python imports before anything else."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    return folder


# --- the network -------------------------------------------------------------------------------


@pytest.fixture
def cut() -> Iterator[Callable[[int], CuttingProxy]]:
    proxies: list[CuttingProxy] = []

    def start(port: int) -> CuttingProxy:
        proxies.append(CuttingProxy(port, random.Random(port), most=200_000))
        return proxies[-1]

    yield start
    for proxy in proxies:
        proxy.close()


def test_a_run_over_connections_that_are_cut_comes_out_the_same(
    deploy: Deploy, cut: Callable[[int], CuttingProxy], tmp_path: Path
) -> None:
    deployment = deploy(0, database=True, hub_options=["--isolation=process"])
    to_apps, to_nodes = cut(deployment.app_port), cut(deployment.fleet_port)
    superexec = ["--plugin-type=serverapp", f"--appio-api-address=127.0.0.1:{to_apps.port}"]
    deployment.start("hub", "flower-superexec", "--insecure", *superexec)
    for index in range(3):
        deployment.start_node(index, 3, f"--superlink=127.0.0.1:{to_nodes.port}")
    app = write_chaos_app(tmp_path / "chaos-app", STRATEGY)
    calm = submit(deployment, app, tmp_path / "calm", rounds=10)
    assert deployment.follow(calm).code == 0

    to_apps.begin()
    to_nodes.begin()
    wild = submit(deployment, app, tmp_path / "wild", rounds=10)
    outcome = deployment.follow(wild)
    assert deployment.run(wild)["status"] == "finished:completed", outcome
    assert to_apps.cuts > 10
    assert to_nodes.cuts > 10
    assert arrays_of(tmp_path / "wild") == arrays_of(tmp_path / "calm")
    journal = read_journal(tmp_path / "wild" / "journal")
    assert {len(times) for times in journal.began.values()} == {1}
    wait_until(lambda: not blobs_of(deployment), 10)


# --- clocks ------------------------------------------------------------------------------------

SHIFTED = """
import time
right = time.time
time.time = lambda: right() + {seconds}
"""

SHORT_LIVED = """
    import time
    from flwr.app import Message, RecordDict
    grid.wait_nodes(2)
    asked = [Message(RecordDict(), node, "evaluate", ttl=60.0) for node in grid.get_node_ids()]
    for reply in grid.send_and_receive(asked):
        assert reply.has_content(), reply.error
        assert abs(reply.metadata.created_at - time.time()) < 60
"""

NOTE_TIME = """
    import time
    now = time.time()
    assert abs(now - msg.metadata.created_at) < 60
    open(f"{folder}/{{context.node_config['partition-id']}}", "w").write(str(now))
"""


def test_clocks_that_differ_by_an_hour_change_nothing(
    deploy: Deploy, app: WriteApp, tmp_path: Path
) -> None:
    deployment = deploy(0)
    for index, seconds in enumerate((HOUR, -HOUR)):
        deployment.patches["nodes"] = patch(
            tmp_path / f"clock-{index}", SHIFTED.format(seconds=seconds)
        )
        deployment.start_node(index, 2)
    times = tmp_path / "times"
    times.mkdir()
    folder = app(before=SHORT_LIVED.strip(), train=NOTE_TIME.format(folder=times).strip())
    outcome = deployment.flwr("run", folder, "hub", "--stream")
    assert outcome.code == 0, outcome
    ahead, behind = (float((times / name).read_text()) for name in ("0", "1"))
    assert ahead - behind > 1.9 * HOUR


# --- slow and stuck nodes ----------------------------------------------------------------------

ASK_ALL = """
    import threading
    from flwr.app import Message, RecordDict
    grid.wait_nodes(3)
    asked = [Message(RecordDict(), node, "evaluate") for node in grid.get_node_ids()]
    ids, got = grid.push_messages(asked), 0
    while got < {wanted}:
        got += len(list(grid.pull_messages(ids)))
        threading.Event().wait(0.02)
    print("{wanted} nodes have answered")
    return
"""


@pytest.mark.parametrize("how", ["busy", "frozen"])
def test_a_stuck_node_delays_nobody_else(
    deploy: Deploy, app: WriteApp, tmp_path: Path, how: str
) -> None:
    deployment = deploy(3)
    first, *_ = deployment.nodes
    with gate(tmp_path / "gate") as open_gate:
        waits = f"context.node_config['partition-id'] == 0 and wait_at({str(tmp_path / 'gate')!r})"
        stuck = deployment.submit(app("stuck", train=waits), "-c", "num-server-rounds=1")
        wait_until(lambda: deployment.run(stuck)["status"] == "running")
        if how == "frozen":
            first.send(signal.SIGSTOP)
        try:
            quick = app("quick", before=ASK_ALL.format(wanted=2).strip())
            for _ in range(3):
                outcome = deployment.flwr("run", quick, "hub", "--stream")
                assert "2 nodes have answered" in outcome.out, outcome
            assert deployment.run(stuck)["status"] == "running"
        finally:
            first.send(signal.SIGCONT)
        open_gate()
    assert "the model is [1.0, 1.0, 1.0]" in deployment.follow(stuck).out
    all_of_them = app("all", before=ASK_ALL.format(wanted=3).strip())
    assert "3 nodes have answered" in deployment.flwr("run", all_of_them, "hub", "--stream").out


SLEEP = "import threading; threading.Event().wait()"

STUBBORN = f"""
    import signal, subprocess, sys, threading
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen([sys.executable, "-c", {SLEEP!r}])
    threading.Event().wait()
"""


def sleeping(deployment: Deployment) -> list[psutil.Process]:
    return [each for each in deployment.processes() if SLEEP in each.cmdline()]


def test_stopping_a_run_ends_processes_that_do_not_want_to(deploy: Deploy, app: WriteApp) -> None:
    deployment = deploy(2)
    before = {process.pid for process in deployment.processes()}
    server = app("server", before=STUBBORN.strip())
    client = app("client", train=STUBBORN.strip())
    runs = [deployment.submit(folder) for folder in (server, client)]

    wait_until(lambda: len(sleeping(deployment)) == 3)
    processes = [each for each in deployment.processes() if each.pid not in before]
    for run_id in runs:
        assert deployment.flwr("stop", run_id, "hub").code == 0
    wait_gone(processes, 10.0)  # 2 s are promised


# --- disks -------------------------------------------------------------------------------------

DISK = """
import collections, pathlib, shutil
usage = collections.namedtuple("usage", "total used free")
shutil.disk_usage = lambda _: usage(0, 0, int(pathlib.Path({file!r}).read_text()))
"""


def test_a_full_disk_is_told_and_nothing_is_lost(deploy: Deploy, tmp_path: Path) -> None:
    deployment = deploy(0, database=True)
    assert deployment.hub is not None
    deployment.hub.end()
    free = tmp_path / "free"
    deployment.patches["hub"] = patch(tmp_path / "disk", DISK.format(file=str(free)))
    free.write_text("1000")
    deployment.start_hub()
    for index in range(3):
        deployment.start_node(index, 3)
    app = write_chaos_app(tmp_path / "chaos-app", STRATEGY)

    refused = submit(deployment, app, tmp_path / "refused", rounds=1)
    deployment.follow(refused)
    run = deployment.run(refused)
    assert run["status"] == "finished:failed"
    assert "no room" in str(run), run
    assert not blobs_of(deployment)

    free.write_text("1000000000000")
    with gate(tmp_path / "gate") as open_gate:
        where = tmp_path / "waiting"
        waiting = submit(deployment, app, where, rounds=1, client_gate=tmp_path / "gate")
        wait_until(lambda: len(read_journal(where / "journal").began) == 2)
        free.write_text("1000")
        open_gate()
    wait_until(lambda: any("no room" in node.output for node in deployment.nodes))
    assert deployment.run(waiting)["status"] == "running"
    free.write_text("1000000000000")
    deployment.follow(waiting)
    assert deployment.run(waiting)["status"] == "finished:completed"
    wait_until(lambda: not blobs_of(deployment), 10)
