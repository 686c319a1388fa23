"""A run's ClientApp in a warm worker process, which handles one message after the other."""

import contextlib
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flwr.app import Error, Message
from flwr.config import AppConfig
from flwr.errors import EngineError
from flwr.runtime.codec import StoredState
from flwr.runtime.launch import ZygoteHandle
from flwr.runtime.pool import WorkerPool
from flwr.runtime.tasks import Task
from flwr.transport.parts import RunSheet


@dataclass(frozen=True)
class Handled:
    """What became of a message.

    Attributes
    ----------
    reply : Message or Error
        What the app answered; its arrays may lie in memory of the worker, until it is dropped.
    seconds : float
        That the app worked.
    state : StoredState, optional
        The context's state afterwards.
    changed : bool
        Whether that is another than before.
    """

    reply: Message | Error
    seconds: float
    state: StoredState | None
    changed: bool


class AppWorker:
    """One ClientApp, loaded once, in a process of its own that stays for the next message.

    Parameters
    ----------
    sheet : RunSheet
        The run.
    app : AppConfig
        Its app, unpacked.
    threads : int
        That numerical libraries in the worker may use.
    """

    def __init__(self, sheet: RunSheet, app: AppConfig, threads: int) -> None:
        zygote = ZygoteHandle(threads=threads)
        zygote.load(component=app.clientapp, app_dir=app.app_dir)
        self._pool = WorkerPool(
            zygote, 1, run_id=sheet.run_id, run_config=sheet.run_config, retry_killed=True
        )
        self._closing = threading.Lock()
        self.closed = False

    def put_state(self, node_id: int, state: StoredState | None) -> None:
        """Let the node's next message begin with this state."""
        if state is not None:
            self._pool.put_state(node_id, state)

    def handle(self, message: Message, node_config: Mapping[str, Any], seed: int) -> Handled:
        """Hand a message to the app and wait for its reply.

        Raises
        ------
        AppLoadError
            If the app does not load.
        EngineError
            If the worker was closed meanwhile, or cannot be started.
        """
        answers: list[tuple[Message | Error, float]] = []

        def answer(_: Task, reply: Message | Error, seconds: float) -> None:
            answers.append((reply, seconds))

        node_id = message.metadata.dst_node_id
        before = self._pool.state_of(node_id)
        try:
            self._pool.submit([Task(message, node_config, seed, answer)])
            while not answers:
                self._pool.pump(None, self._pool.news)
        except (OSError, ValueError, KeyError) as error:
            if self.closed:  # under our hands, by the thread that stops it
                raise EngineError("The worker was stopped.") from error
            raise
        after = self._pool.state_of(node_id)
        return Handled(*answers[0], after, after is not before)

    def close(self) -> None:
        """End the process, whatever it does."""
        with self._closing:
            if not self.closed:
                self.closed = True
                with contextlib.suppress(OSError):
                    self._pool.close()


def threads_for(concurrent: int) -> int:
    """Return how many threads each of so many workers may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)) // concurrent)
    return max(1, (os.cpu_count() or 1) // concurrent)
