"""Faults in deployments of real processes: apps at the hub and at nodes, and what dies there."""

import signal
from collections.abc import Callable
from pathlib import Path

from bench import Bench
from deployed import Deployment, wait_until
from injections_into_apps import HANG, asking

INJECTIONS: dict[str, Callable[[Bench], None]] = {}
KILL_ITSELF = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"


def injection(function: Callable[[Bench], None]) -> Callable[[Bench], None]:
    INJECTIONS[function.__name__] = function
    return function


@injection
def server_import_at_hub(bench: Bench) -> None:
    bench.run_there(bench.app(server={"# imports": "import nowhere_to_be_found"}))


@injection
def client_import_at_node(bench: Bench) -> None:
    bench.run_there(bench.app(client={"# imports": "import nowhere_to_be_found"}))


@injection
def main_raises_at_hub(bench: Bench) -> None:
    bench.run_there(bench.app(server={"# main": "raise ValueError('broken main')"}))


@injection
def train_raises_at_node(bench: Bench) -> None:
    bench.run_there(bench.app(client={"# train": "raise ValueError('broken train')"}))


@injection
def client_killed_at_node(bench: Bench) -> None:
    bench.run_there(bench.app(client={"# train": KILL_ITSELF}), "-c", "num-server-rounds=1")


@injection
def server_killed(bench: Bench) -> None:
    bench.run_there(bench.app(server={"# main": KILL_ITSELF}))


@injection
def time_to_live_at_node(bench: Bench) -> None:
    bench.run_there(bench.app(server=asking("train", ttl=0.5), client={"# train": HANG}))


@injection
def too_few_nodes(bench: Bench) -> None:
    five = {'{"min_available_nodes": 2}': '{"min_available_nodes": 5}'}
    terminal = bench.run_there(bench.app(server=five))
    run_id = terminal.wait_for(r"started run (\d+)")[1]
    terminal.wait_for("Waiting for nodes")
    assert bench.deployment.flwr("stop", run_id, "hub").code == 0


@injection
def node_dies(bench: Bench) -> None:
    with_one = own_deployment(
        bench, "import flwr.superlink.presence as presence\npresence.AWAY_SECONDS = 4.0\n"
    )
    node = with_one.start_node(0, 1)
    working = bench.folder / "working"
    waits = f"open({str(working)!r}, 'w').close(); {HANG}"
    app = bench.app(server=asking("train"), client={"# train": waits})
    terminal = bench.run_there(app, deployment=with_one)
    wait_until(working.exists)
    terminal.happens()
    node.send(signal.SIGKILL)
    terminal.end()


DISK = """
import collections, shutil
usage = collections.namedtuple("usage", "total used free")
shutil.disk_usage = lambda _: usage(0, 0, 1000)
"""


@injection
def disk_full_at_hub(bench: Bench) -> None:
    full = own_deployment(bench, DISK)
    full.start_node(0, 1)
    big = "initial_arrays=ArrayRecord([np.zeros(1 << 20, np.float32)])"
    small = {"initial_arrays=ArrayRecord([np.zeros(3, np.float32)])": big}
    one = {'{"min_available_nodes": 2}': '{"min_available_nodes": 1, "min_train_nodes": 1}'}
    bench.run_there(bench.app(server=small | one), deployment=full).end()


@injection
def wrong_port(bench: Bench) -> None:
    bench.run_at(f"127.0.0.1:{bench.deployment.fleet_port}")


@injection
def tls_to_plain(bench: Bench) -> None:
    bench.run_at(f"127.0.0.1:{bench.deployment.control_port}", "insecure = false")


def own_deployment(bench: Bench, patch_of_hub: str = "") -> Deployment:
    """Start a hub for one fault, in whose process a line is executed first."""
    folder = bench.folder / "deployment"
    folder.mkdir()
    deployment = Deployment(folder, database=folder / "state.db")
    bench.request.addfinalizer(deployment.close)
    deployment.patches["hub"] = write_patch(folder / "patch", patch_of_hub)
    deployment.start_hub()
    return deployment


def write_patch(folder: Path, code: str) -> Path:
    """Write a module that Python imports before anything else."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    return folder
