"""A hub with very many nodes: each gets a message and answers it, round after round.

The nodes are connections of this process over real sockets, which do nothing but answer; the hub is
a SuperLink of its own, with a database, and every message and reply is on its disk. Prints one JSON
object: seconds to connect all and to send to all and collect all replies, the hub's memory, and its
CPU time for each message.
"""

import argparse
import asyncio
import json
import resource
import statistics
import time
from pathlib import Path
from typing import Any

import msgspec
from hubs import HubProcess, cpu_seconds, hub_process

from flwr.runtime.fabbuild import build
from flwr.transport import appio, control, fleet
from flwr.transport.call import Call
from flwr.transport.client import Link
from flwr.transport.parts import Body, Nothing, Part

CONTENT_BYTES = 300
META_BYTES = 120  # as metadata of messages usually are
CONNECTING = 64  # nodes at a time
RUN = 1
PROJECT = """
[project]
name = "many"
version = "1.0.0"
[tool.flwr.app]
publisher = "bench"
[tool.flwr.app.components]
serverapp = "app:app"
clientapp = "app:app"
"""

_encode = msgspec.msgpack.Encoder().encode
_decode_work = msgspec.msgpack.Decoder(fleet.Exchanged).decode


class LightNode(asyncio.Protocol):
    """A node's only connection: it says hello, and then keeps an exchange parked."""

    def __init__(self, host: str, secret: str, reply: Body) -> None:
        self._head = (
            f"host: {host}\r\nauthorization: Bearer {secret}\r\nflwr-protocol: 1\r\n"
            "content-type: application/msgpack\r\ncontent-length: "
        )
        self._reply = reply
        self._received = bytearray()
        self._transport: asyncio.WriteTransport | None = None
        self._epoch = 0
        self._runs: list[int] = []
        self.node_id = 0
        self.welcomed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        self._send(fleet.HELLO, fleet.Hello("one"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, mark, body = self._received.partition(b"\r\n\r\n")
        if not mark:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        assert head.startswith(b"HTTP/1.1 200"), bytes(self._received)
        self._received.clear()
        self._answered(bytes(body))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.welcomed.done():
            self.welcomed.set_exception(exc or ConnectionResetError("the hub closed"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def _answered(self, body: bytes) -> None:
        if not self._epoch:
            welcome = msgspec.msgpack.decode(body, type=fleet.Welcome)
            self.node_id, self._epoch = welcome.node_id, welcome.epoch
            self._exchange([])
            self.welcomed.set_result(None)
            return
        work = _decode_work(body).work
        self._runs = self._runs or [message.run_id for message in work]
        self._exchange(
            [fleet.Reply(w.message_id, w.run_id, w.meta, body=self._reply) for w in work]
        )

    def _exchange(self, done: list[fleet.Reply]) -> None:
        self._send(fleet.EXCHANGE, fleet.Exchange(self._epoch, done, runs=self._runs, capacity=1))

    def _send(self, call: Call[Any, Any], request: object) -> None:
        assert self._transport is not None
        body = _encode(request)
        head = f"POST {call.path} HTTP/1.1\r\n{self._head}{len(body)}\r\n\r\n"
        self._transport.write(head.encode() + body)


class App:
    """The app process of a run: it sends to all nodes and collects, and keeps no more than that.

    Parameters
    ----------
    hub : HubProcess
        Started with ``--isolation process``.
    """

    def __init__(self, hub: HubProcess, folder: Path) -> None:
        folder.mkdir()
        (folder / "pyproject.toml").write_text(PROJECT)
        (folder / "app.py").write_text("app = None\n")
        commands = Link(hub.control, tls=None)
        commands.call(control.START_RUN, control.StartRun(RUN, build(folder).content))
        commands.close()
        launcher = Link(hub.app, tls=None)
        (launch,) = launcher.call(appio.LAUNCH, appio.Launching("one", capacity=1)).start
        launcher.close()
        self.link = Link(hub.app, tls=None, token=launch.token)
        self.link.call(appio.INPUTS, Nothing())
        self._after = 0
        self._rounds = 0

    def exchange(self, node_ids: list[int]) -> float:
        """Send a message to each node and collect all replies; return the seconds of it."""
        self._rounds += 1
        content = Body([Part(data=f"round {self._rounds}".encode().ljust(CONTENT_BYTES))])
        meta = bytes(META_BYTES)
        messages = [
            appio.Message(f"{self._rounds}-{node_id}", node_id, "train", meta=meta)
            for node_id in node_ids
        ]
        missing = len(messages)
        begin = time.perf_counter()
        first = appio.Collect(self._after, missing, missing)
        replies = self.link.call(
            appio.PUSH, appio.Push(messages, [content], first), wait=50
        ).replies
        while True:
            assert all(reply.error is None for reply in replies), replies
            missing -= len(replies)
            self._after = replies[-1].seq if replies else self._after
            if not missing:
                break
            question = appio.Collect(self._after, missing, missing)
            replies = self.link.call(appio.COLLECT, question, wait=50).replies
        seconds = time.perf_counter() - begin
        released = [message.message_id for message in messages]
        checkpoint = appio.Checkpoint(0, self._rounds, Body(), content, released)
        self.link.call(appio.CHECKPOINT, checkpoint)
        return seconds


async def connect(hub: HubProcess, count: int) -> list[LightNode]:
    """Connect nodes and have them wait for work."""
    host, _, port = hub.fleet.rpartition(":")
    reply = Body([Part(data=bytes(CONTENT_BYTES))])
    turns = asyncio.Semaphore(CONNECTING)

    async def one(number: int) -> LightNode:
        async with turns:
            _, node = await asyncio.get_running_loop().create_connection(
                lambda: LightNode(host, f"secret {number}", reply), host, int(port)
            )
            await node.welcomed
            return node

    return await asyncio.gather(*(one(number) for number in range(count)))


async def measure(hub: HubProcess, count: int, rounds: int) -> dict[str, float]:
    """Connect nodes, and let some rounds go by."""
    begin = time.perf_counter()
    nodes = await connect(hub, count)
    connected = time.perf_counter() - begin
    app = await asyncio.to_thread(App, hub, hub.folder / "app")
    node_ids = [node.node_id for node in nodes]
    await asyncio.to_thread(app.exchange, node_ids)  # all have parked, and statements are warm
    used = cpu_seconds(hub.process)
    seconds = [await asyncio.to_thread(app.exchange, node_ids) for _ in range(rounds)]
    used = cpu_seconds(hub.process) - used
    memory = hub.process.memory_info().rss / 2**20
    app.link.call(appio.FINISH, appio.Finish("completed"))
    app.link.close()
    for node in nodes:
        node.close()
    return {
        "connect_s": round(connected, 2),
        "all_s": round(statistics.median(seconds), 3),
        "all_best_s": round(min(seconds), 3),
        "hub_cpu_ms": round(1000 * used / (rounds * count), 3),
        "hub_mib": round(memory, 1),
    }


def main(folder: Path | None, counts: list[int], rounds: int) -> None:
    """Measure each number of nodes with a new hub, and print."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    figures: dict[str, float] = {}
    for count in counts:
        with hub_process(folder, "--isolation=process") as hub:
            measured = asyncio.run(measure(hub, count, rounds))
        figures |= {f"{name}_{count}": value for name, value in measured.items()}
    print(json.dumps(figures))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("nodes", type=int, nargs="*", default=[1000, 9500], help="how many nodes")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--folder", type=Path, help="on the disk to measure; by default a new one")
    given = parser.parse_args()
    main(given.folder, given.nodes, given.rounds)
