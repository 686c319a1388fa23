"""How long a message to a node and back takes, and what a hub and a node cost when nothing happens.

A hub with a database, nodes, and a run whose ServerApp sends one empty message at a time to one of
them: all real processes, the one of the ClientApp included. Prints one JSON object: milliseconds of
a ``send_and_receive``, and for idle hub and nodes their CPU time and requests.
"""

import argparse
import contextlib
import json
import re
import statistics
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
from hubs import HubProcess, cpu_seconds, hub_process, program

from flwr.transport import control
from flwr.transport.client import Link
from flwr.transport.parts import Nothing

PROJECT = """
[project]
name = "latency"
version = "1.0.0"
[tool.flwr.app]
publisher = "bench"
[tool.flwr.app.components]
serverapp = "latency:server_app"
clientapp = "latency:client_app"
[tool.flwr.app.config]
exchanges = 1000
"""
APP = """
import time
from flwr.app import Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp

WARM_UP = 50

server_app = ServerApp()
client_app = ClientApp()

@client_app.query()
def query(message, context):
    return Message(RecordDict(), reply_to=message)

@server_app.main()
def main(grid, context):
    node_id = sorted(grid.get_node_ids())[0]
    seconds = []
    for _ in range(WARM_UP + context.run_config["exchanges"]):
        begin = time.perf_counter()
        (reply,) = grid.send_and_receive([Message(RecordDict(), node_id, "query")])
        seconds.append(time.perf_counter() - begin)
        assert reply.has_content(), reply.error
    print("seconds:", *seconds[WARM_UP:])
"""


@contextlib.contextmanager
def connected_nodes(hub: HubProcess, count: int) -> Iterator[list[psutil.Process]]:
    """Start nodes, and wait until they are connected."""
    command = [program("flower-supernode"), "--insecure", f"--superlink={hub.fleet}"]
    with contextlib.ExitStack() as stack, (hub.folder / "nodes.log").open("w") as log:
        nodes = []
        for number in range(count):
            node = stack.enter_context(
                subprocess.Popen(
                    [*command, f"--node-config=number={number}"],
                    env=hub.environment, stdout=log, stderr=log,
                )
            )  # fmt: skip
            stack.callback(node.terminate)
            nodes.append(psutil.Process(node.pid))
        pause = threading.Event()
        with contextlib.closing(Link(hub.control, tls=None)) as link:
            while sum(node.online for node in link.call(control.NODES, Nothing()).nodes) < count:
                pause.wait(0.1)
        yield nodes


def exchanges(hub: HubProcess, count: int) -> list[float]:
    """Run the app; return the seconds of each exchange."""
    folder = hub.folder / "app"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "latency.py").write_text(APP)
    home = hub.folder / "home"
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text(
        f"[superlink.hub]\naddress = '{hub.control}'\ninsecure = true\n"
    )
    command = [program("flwr"), "run", str(folder), "hub", "--stream"]
    done = subprocess.run(
        [*command, "-c", f"exchanges={count}"],
        env=hub.environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = re.search(r"^seconds: (.*)$", done.stdout, re.MULTILINE)
    assert found, done
    return [float(text) for text in found[1].split()]


def idle(hub: HubProcess, nodes: list[psutil.Process], seconds: float) -> dict[str, float]:
    """Let nothing happen; return what it costs."""
    log = hub.folder / "hub.log"
    used, asked = cpu_seconds(hub.process, *nodes), _requests(log)
    threading.Event().wait(seconds)
    used, asked = cpu_seconds(hub.process, *nodes) - used, _requests(log) - asked
    return {
        "idle_cpu_percent": round(100 * used / seconds, 3),
        "idle_requests_per_node_minute": round(asked / len(nodes) / (seconds / 60), 2),
    }


def _requests(log: Path) -> int:
    return log.read_text().count(" /v1/fleet/")


def main(folder: Path | None, count: int, seconds: float) -> None:
    """Measure, and print."""
    figures: dict[str, float] = {}
    with hub_process(folder) as hub, connected_nodes(hub, 1):
        times = sorted(1000 * each for each in exchanges(hub, count))
        figures["p50_ms"] = round(statistics.median(times), 2)
        figures["p99_ms"] = round(times[int(0.99 * len(times))], 2)
    if seconds:  # requests are counted in the log, which costs time of its own
        with hub_process(folder, level="DEBUG") as hub, connected_nodes(hub, 2) as nodes:
            figures |= idle(hub, nodes, seconds)
    print(json.dumps(figures))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exchanges", type=int, default=1000)
    parser.add_argument("--idle", type=float, default=100.0, help="seconds; 0 leaves that out")
    parser.add_argument("--folder", type=Path, help="on the disk to measure; by default a new one")
    given = parser.parse_args()
    main(given.folder, given.exchanges, given.idle)
