"""Handling tasks in the calling thread: for ``debug``, where breakpoints must work.

Messages and replies are handed over as they are between processes: as snapshots, with contexts
whose state keeps records only. So an app that works here works in workers too.
"""

import random
import sys
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from flwr.app import ArrayRecord, Context, Error, Message, RecordDict, memory
from flwr.app.error import ErrorCode
from flwr.runtime.codec import Frames, StoredState, encode_content, open_state, seal_state
from flwr.runtime.handler import (
    App,
    describe,
    handle,
    seed_random_generators,
)
from flwr.runtime.protocol import State, decode_records
from flwr.runtime.segments import Bytes
from flwr.runtime.tasks import Task
from flwr.wire import records as wire_records


class InProcessPool:
    """A pool of no workers.

    Parameters
    ----------
    app : callable
        The ClientApp.
    run_id, run_config
        Of the run that all tasks belong to.
    """

    def __init__(
        self, app: App, *, run_id: int = 0, run_config: Mapping[str, Any] | None = None
    ) -> None:
        self._app = app
        self._run_id = run_id
        self._run_config = dict(run_config or {})
        self._queue: deque[tuple[Task, Message]] = deque()
        self._states: dict[int, StoredState] = {}
        self.news = 0

    def submit(self, tasks: Iterable[Task]) -> None:
        """Take tasks, in order, with their contents as they are now."""
        for task in tasks:
            content = snapshot(task.take_content())
            message = Message(metadata=task.metadata.snapshot(), content=content)
            self._queue.append((task, message))

    def cancel(self, tasks: Iterable[Task]) -> None:
        """Answer none of these any more."""
        for task in tasks:
            task.cancelled = True

    def pump(self, timeout: float | None, seen: int) -> None:
        """Handle one task, here and now."""
        del timeout
        if self.news == seen and self._queue:
            task, message = self._queue.popleft()
            if not task.cancelled:
                self._handle(task, message)
        self.news += 1

    def keep_going(self) -> None:
        """Do nothing: there is one thread, and it belongs to the caller."""

    def close(self) -> None:
        """Drop what is left."""
        self._queue.clear()

    def _handle(self, task: Task, message: Message) -> None:
        context = Context(
            run_id=self._run_id,
            node_id=task.node_id,
            node_config=dict(task.node_config),
            state=self._state_of(task.node_id),
            run_config=dict(self._run_config),
        )
        server_state = _random_state()
        seed_random_generators(task.seed)
        began = time.perf_counter()
        try:
            reply = handle(self._app, message, context)
        finally:
            _restore_random_state(server_state)
        seconds = time.perf_counter() - began
        if isinstance(reply, Message):
            try:
                content = snapshot(reply.content) if reply.has_content() else None
                self._keep_state(task.node_id, context.state)
            except Exception as error:  # what was returned, or left in the state, cannot be sent
                reply = Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, describe(error))
            else:
                if content is not None:
                    reply = Message(metadata=reply.metadata, content=content)
        task.answer(task, reply, seconds)

    def _state_of(self, node_id: int) -> RecordDict:
        stored = self._states.get(node_id)
        if stored is None:
            return RecordDict()
        return open_state(State(stored.records, 0, stored.frames.nbytes), stored.frames)

    def _keep_state(self, node_id: int, state: RecordDict) -> None:
        frames = Frames()
        sealed = seal_state(state, frames)
        if sealed is None:
            self._states.pop(node_id, None)
        else:
            self._states[node_id] = StoredState(sealed.records, _joined(frames))


def snapshot(content: RecordDict) -> RecordDict:
    """Return records of equal content that share no changeable object with these."""
    records, arrays = encode_content(content)
    held = [(memory.layout_of(record), memory.packed(record)) for record in arrays]

    def fetch(index: object) -> ArrayRecord:
        return memory.adopt(*held[index])  # type: ignore[call-overload]  # an int

    return wire_records.decode_records(decode_records(records), fetch)


def _joined(frames: Frames) -> Bytes:
    joined: Bytes = np.zeros(frames.nbytes, np.uint8)
    offset = 0
    for part in frames.parts:
        joined[offset : offset + part.nbytes] = part
        offset += -(-part.nbytes // 64) * 64
    return joined


def _random_state() -> tuple[Any, Any, Any]:
    torch = sys.modules.get("torch")
    return (
        random.getstate(),
        np.random.get_state(),  # noqa: NPY002  (the generator that users' code uses)
        None if torch is None else torch.get_rng_state(),
    )


def _restore_random_state(state: tuple[Any, Any, Any]) -> None:
    random.setstate(state[0])
    np.random.set_state(state[1])  # noqa: NPY002  (as above)
    if state[2] is not None:
        sys.modules["torch"].set_rng_state(state[2])
