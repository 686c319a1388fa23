"""The simulation's grid: messages go to a task pool, replies come back in push order."""

import itertools
import logging
import math
import random
import threading
import time
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator

from flwr.app import Error, Message, Metadata, RecordDict
from flwr.app.error import ErrorCode
from flwr.app.events import Event, Exchange, NodeOutcome
from flwr.errors import NotEnoughNodesError
from flwr.log import log
from flwr.runtime.runinfo import SUPERLINK_NODE_ID, RunInfo
from flwr.runtime.tasks import Task, TaskPool
from flwr.serverapp import Grid
from flwr.serverapp.grid import NodeInfo
from flwr.simulation.nodes import NodeIds

_MOST_TRACEBACKS = 3  # of one exchange in the log; the rest are counted
_LONGEST_WAIT = 3600.0  # seconds; system calls take no more than some weeks
_MASK = (1 << 64) - 1


class _Call:
    """The messages of one push, as they were then, and what has come back.

    Tasks lead back to their call, and are let go of when it ends: a cycle would keep models alive
    until the garbage collector comes by.
    """

    def __init__(self, instructions: list[Metadata]) -> None:
        self.instructions = instructions
        self.replies: list[Message | None] = [None] * len(instructions)
        self.answered = [False] * len(instructions)
        self.missing = len(instructions)
        self.tasks: list[Task] = []
        self.outcomes: list[NodeOutcome] = []
        self.failures = 0
        self.began = time.monotonic()
        self.told = False
        self.expires_at = min((_end_of_life(each) for each in instructions), default=math.inf)

    def take(self, index: int) -> Message:
        """Return a reply and let go of it."""
        reply = self.replies[index]
        assert reply is not None
        self.replies[index] = None
        return reply


def _end_of_life(instruction: Metadata) -> float:
    return instruction.created_at + instruction.ttl


class SimulationGrid(Grid):
    """Sends a ServerApp's messages to virtual nodes.

    Parameters
    ----------
    pool : TaskPool
        What handles the messages.
    nodes : NodeIds
        The federation.
    run : RunInfo
        The run.
    listener : callable, optional
        Called with each event of the run, in the thread that causes it.
    """

    def __init__(
        self,
        pool: TaskPool,
        nodes: NodeIds,
        run: RunInfo,
        listener: Callable[[Event], None] | None = None,
    ) -> None:
        self._pool = pool
        self._nodes = nodes
        self._run = run
        self.emit = listener
        self._pushed: dict[str, tuple[_Call, int]] = {}
        self._lock = threading.Lock()  # of what calls have got back
        self._numbers = itertools.count(1)  # of messages and replies
        self._seed: int | None = None
        self._seeds = 0
        self._id_prefix = f"{uuid.uuid4().hex[:8]}-{uuid.uuid4().hex[:4]}-4000-8000-"

    # -- the Grid

    def set_run(self, run: RunInfo) -> None:
        """Say which run this grid works for."""
        self._run = run

    @property
    def run(self) -> RunInfo:
        """The record of the run."""
        return self._run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Make a message. Deprecated: use ``Message(...)``."""
        return super().create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> NodeIds:
        """Return the ids of all virtual nodes: a set that costs nothing, whatever its size."""
        return self._nodes

    def get_nodes(self) -> Iterable[NodeInfo]:
        """Yield what is known of each node."""
        return map(NodeInfo, self._nodes)

    def wait_nodes(self, count: int) -> None:
        """Return at once if there are ``count`` nodes.

        Raises
        ------
        NotEnoughNodesError
            If there are fewer: a simulation does not grow.
        """
        if count > len(self._nodes):
            raise NotEnoughNodesError(
                f"{count} nodes are asked for, but this simulation has {len(self._nodes)}.",
                hint="Lower min_available_nodes and min_train_nodes / min_evaluate_nodes of the "
                "strategy, or raise num-supernodes.",
            )

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Send messages and return their ids, in order."""
        call = self._submit(messages)
        ids = [instruction.message_id for instruction in call.instructions]
        for index, message_id in enumerate(ids):
            self._pushed[message_id] = (call, index)
        self._pool.keep_going()
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """Return the replies that are there; each is given once."""
        self._pool.pump(0.0, self._pool.news)
        found = []
        for message_id in message_ids:
            call, index = self._pushed.get(message_id, (None, 0))
            if call is None:
                found.append(_unknown(message_id, self._run.run_id))
                continue
            self._expire(call)
            if call.replies[index] is not None:
                del self._pushed[message_id]
                found.append(call.take(index))
            if not call.missing:
                self._tell(call)
        return found

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        """Send messages, wait for their replies, return them in the order of the messages."""
        return list(self.stream(messages, timeout=timeout))

    def gather(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Do what `send_and_receive` does; as many replies as there is room for stay in memory."""
        return list(self._replies(messages, timeout, together=True))

    def stream(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterator[Message]:
        """Yield the replies in the order of the messages, as they can be given."""
        return self._replies(messages, timeout, together=False)

    def _replies(
        self, messages: Iterable[Message], timeout: float | None, *, together: bool
    ) -> Iterator[Message]:
        if timeout is not None and not timeout >= 0:
            raise ValueError(f"timeout must be a number of seconds, 0 or more, not {timeout!r}.")
        deadline = None if timeout is None else time.monotonic() + timeout
        call = self._submit(messages, together)
        try:
            for index in range(len(call.instructions)):
                self._wait(call, index, deadline)
                if call.replies[index] is not None:
                    yield call.take(index)
        finally:
            self._pool.cancel(call.tasks)
            call.tasks.clear()
            self._tell(call)

    # -- sending

    def _submit(self, messages: Iterable[Message], together: bool = False) -> _Call:
        given = list(messages)
        tasks: list[Task] = []
        for index, message in enumerate(given):
            self._stamp(message)
            partition = self._nodes.index(message.metadata.dst_node_id)
            config = {"partition-id": partition or 0, "num-partitions": len(self._nodes)}
            seed = self._next_seed()
            task = Task(message, config, seed, self._answer, index, together=together)
            tasks.append(task)
        call = _Call([task.metadata for task in tasks])
        for index, task in enumerate(tasks):
            if task.node_id not in self._nodes:
                self._refuse(call, index)
                continue
            task.place = (call, index)
            call.tasks.append(task)
        self._pool.submit(call.tasks)
        return call

    def _stamp(self, message: Message) -> None:
        """Give a message its run, sender and id."""
        metadata = message.metadata
        if not metadata.ttl >= 0:  # NaN is not, either
            raise ValueError(
                f"Invalid message: its ttl must be seconds, 0 or more, not {metadata.ttl}."
            )
        if not message.has_content():
            raise ValueError("Invalid message: it has no content.")
        metadata.stamp(
            run_id=self._run.run_id,
            src_node_id=SUPERLINK_NODE_ID,
            message_id=self._new_id(),
        )

    def _new_id(self) -> str:
        return f"{self._id_prefix}{next(self._numbers):012x}"

    def _refuse(self, call: _Call, index: int) -> None:
        node_id = call.instructions[index].dst_node_id
        log(logging.ERROR, "Invalid destination node ID for Message: %s", node_id)
        error = Error(ErrorCode.NODE_UNAVAILABLE, f"There is no node {node_id} in this federation.")
        self._take(call, index, error, 0.0)

    def _next_seed(self) -> int:
        """Return a seed for the next message: the same sequence for the same ``random.seed``."""
        if self._seed is None:
            words = random.getstate()[1]
            self._seed = zlib.crc32(repr((words[:8], words[-1])).encode())
        self._seeds += 1
        mixed = (self._seed + self._seeds * 0x9E3779B97F4A7C15) & _MASK
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        return mixed ^ (mixed >> 31)

    # -- receiving

    def _wait(self, call: _Call, index: int, deadline: float | None) -> None:
        """Wait until a message is answered or the time is up."""
        while True:
            seen = self._pool.news
            if call.answered[index]:
                return
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                return
            expires_in = call.expires_at - time.time()
            if expires_in <= 0:
                self._expire(call)
                continue
            wait = expires_in if deadline is None else min(expires_in, deadline - now)
            self._pool.pump(min(wait, _LONGEST_WAIT), seen)

    def _expire(self, call: _Call) -> None:
        """Answer the messages whose time to live is over."""
        now = time.time()
        if now < call.expires_at:
            return
        call.expires_at = math.inf
        for index, instruction in enumerate(call.instructions):
            if call.answered[index]:
                continue
            expires_at = _end_of_life(instruction)
            if expires_at > now:
                call.expires_at = min(call.expires_at, expires_at)
                continue
            error = Error(
                ErrorCode.MESSAGE_UNAVAILABLE, "Message Unavailable: its time to live is over."
            )
            self._take(call, index, error, 0.0)

    def _answer(self, task: Task, reply: Message | Error, seconds: float) -> None:
        call, index = task.place
        task.place = None
        self._take(call, index, reply, seconds)

    def _take(self, call: _Call, index: int, reply: Message | Error, seconds: float) -> None:
        """Note the answer to a message, the first one only."""
        instruction = call.instructions[index]
        if isinstance(reply, Error):
            reply = Message(
                reply, reply_to=Message(metadata=instruction.snapshot(), content=RecordDict())
            )
        reply.metadata.stamp(
            run_id=self._run.run_id,
            src_node_id=instruction.dst_node_id,
            message_id=self._new_id(),
            reply_to_message_id=instruction.message_id,
        )
        reply.metadata.dst_node_id = SUPERLINK_NODE_ID
        reason = None
        if reply.has_error():
            reason = reply.error.reason or f"error {reply.error.code}"
        with self._lock:
            if call.answered[index]:
                return
            call.replies[index] = reply
            call.answered[index] = True
            call.missing -= 1
            call.failures += reason is not None
            failures = call.failures
            if self.emit is not None:
                call.outcomes.append(NodeOutcome(instruction.dst_node_id, seconds, reason))
        if reason is not None and failures <= _MOST_TRACEBACKS:
            node_id, kind = instruction.dst_node_id, instruction.message_type
            log(logging.ERROR, "Node %s failed at %s: %s", node_id, kind, reason)

    def _tell(self, call: _Call) -> None:
        """Tell once what became of a call."""
        if call.told:
            return
        call.told = True
        if call.failures > _MOST_TRACEBACKS:
            log(
                logging.ERROR,
                "%d more nodes failed; their errors are in the run's events.",
                call.failures - _MOST_TRACEBACKS,
            )
        if self.emit is not None and call.instructions:
            first = call.instructions[0]
            seconds = time.monotonic() - call.began
            self.emit(Exchange(first.message_type, first.group_id, seconds, call.outcomes))


def _unknown(message_id: str, run_id: int) -> Message:
    """Return the answer to a question for an unknown id, or one already given."""
    metadata = Metadata(
        run_id=run_id,
        message_id="",
        src_node_id=SUPERLINK_NODE_ID,
        dst_node_id=SUPERLINK_NODE_ID,
        reply_to_message_id=message_id,
        group_id="",
        created_at=time.time(),
        ttl=0,
        message_type="system",
    )
    error = Error(
        ErrorCode.MESSAGE_UNAVAILABLE, "No reply: the id is unknown, or its reply was pulled."
    )
    return Message(metadata=metadata, error=error)
