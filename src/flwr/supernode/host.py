"""A host of ClientApps: a process of its own, which takes messages from a SuperNode."""

import contextlib
import functools
import logging
import os
import select
import signal
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from flwr.app.error import ErrorCode
from flwr.config import AppConfig, home
from flwr.errors import LinkError
from flwr.log import log
from flwr.runtime.bodies import hash_of
from flwr.runtime.codec import StoredState
from flwr.runtime.handler import describe
from flwr.supernode.agent import Agent, Instruction, News
from flwr.supernode.apps import AppShelf
from flwr.supernode.lanes import Lanes, Patience
from flwr.supernode.runs import RunThread
from flwr.supernode.signals import stopped_by_signals
from flwr.supernode.workers import LocalExecutor, Outcome, failed, threads_for, workers_of
from flwr.transport import clientio
from flwr.transport.address import Address
from flwr.transport.client import Link
from flwr.transport.clientio import Job, Result, Take
from flwr.transport.fleet import Exchange, Exchanged, Reply, Work
from flwr.transport.parts import INLINE_BYTES, Body, Part, RunQuestion, RunSheet
from flwr.transport.tls import ClientTls
from flwr.wire.records import decode_metadata, encode_metadata

_IDLE_SECONDS = 300.0  # after which a worker without messages ends
_GOODBYE = 3.0
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


@dataclass(frozen=True)
class HostSettings:
    """What a host is told when it is started.

    Attributes
    ----------
    supernode : Address
        The node's ClientAppIo API.
    tls : ClientTls or None
        Whom to believe; None: plain HTTP.
    concurrent : int
        How many messages are handled at once.
    patience : Patience
        How long a node that does not answer is tried again.
    apps : Path
        The folder in which apps are unpacked.
    """

    supernode: Address
    tls: ClientTls | None = None
    concurrent: int = 1
    patience: Patience = field(default_factory=Patience)
    apps: Path = field(default_factory=lambda: home() / "apps")


class Host:
    """A host that works until it is stopped.

    Parameters
    ----------
    settings : HostSettings
        For whom, and how.
    """

    def __init__(self, settings: HostSettings) -> None:
        self._link = Link(settings.supernode, tls=settings.tls, patience=settings.patience.seconds)
        self._instance = uuid.uuid4().hex
        self._apps = AppShelf(settings.apps)
        self._threads = threads_for(settings.concurrent)
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}
        self._results: dict[str, Result] = {}
        self._runs: dict[int, RunThread] = {}
        self._fault: BaseException | None = None
        self._over = threading.Event()
        self._lanes = Lanes(
            Agent(settings.concurrent),
            introduce=lambda: 0,
            exchange=self._take,
            hear=self._hear,
            clear_away=self._clear_away,
            again=lambda _: None,
            fail=self._fail,
            patience=settings.patience,
        )

    def run(self) -> None:
        """Work until `stop` is called.

        Raises
        ------
        LinkError
            If the node cannot be reached any more.
        """
        self._lanes.start()
        self._over.wait()
        self._lanes.stop()
        with self._lock:
            runs = list(self._runs.values())
        for run in runs:
            run.end()
        self._link.close()
        self._lanes.join(_GOODBYE)
        for run in runs:
            run.join(_GOODBYE)
        if self._fault is not None:
            raise self._fault

    def stop(self) -> None:
        """Stop at once: the node gives what was taken to other hosts. A signal may call it."""
        self._over.set()

    def _fail(self, error: BaseException) -> None:
        if self._fault is None:
            self._fault = error
        self._over.set()

    # -- with the node

    def _take(self, exchange: Exchange) -> Exchanged:
        with self._lock:
            done = [
                self._results[r.message_id] for r in exchange.done if r.message_id in self._results
            ]
        take = Take(
            self._instance, done, exchange.holding, exchange.runs, exchange.capacity, exchange.wait
        )
        taken = self._link.call(clientio.TAKE, take, wait=take.wait, patience=0.0)
        with self._lock:
            self._jobs.update((job.job_id, job) for job in taken.jobs)
        return Exchanged(
            [Work(job.job_id, job.run_id, b"", at) for at, job in enumerate(taken.jobs)],
            [job.body for job in taken.jobs],
            taken.accepted,
            taken.dropped,
            taken.ended_runs,
            taken.retry_after,
        )

    def _hear(self, news: News) -> None:
        with self._lock:
            for instruction in news.begin:
                run = self._runs.get(instruction.run_id)
                if run is None:
                    run = self._runs[instruction.run_id] = self._start_run(instruction.run_id)
                run.begin(instruction)

    def _clear_away(self, news: News) -> None:
        with self._lock:
            for job_id in (*news.settled, *news.stop):
                self._jobs.pop(job_id, None)
                self._results.pop(job_id, None)
            runs = list(self._runs.values())
            ended = [run for run_id in news.ended_runs if (run := self._runs.pop(run_id, None))]
        for job_id in news.stop:
            for run in runs:
                run.stop(job_id)
        for run in ended:
            run.end(functools.partial(self._apps.drop_run, run.run_id))
        for job_id in news.unsettled:
            self._lanes.tell(_send_again(job_id))

    # -- runs

    def _start_run(self, run_id: int) -> RunThread:
        workers = workers_of(
            lambda: self._link.call(clientio.RUN, RunQuestion(run_id)), self._app_of, self._threads
        )
        executor = LocalExecutor(
            workers, self._link.download, self._link.upload, state_is_ours=False
        )

        def handle(run: RunThread, instruction: Instruction) -> None:
            self._handle(run, executor, instruction)

        return RunThread(
            run_id,
            executor,
            handle=handle,
            retire=self._retire,
            fail=self._fail,
            idle_seconds=_IDLE_SECONDS,
        )

    def _app_of(self, sheet: RunSheet) -> AppConfig:
        return self._apps.app(
            sheet, lambda: self._link.call(clientio.FAB, RunQuestion(sheet.run_id)).content
        )

    def _retire(self, run: RunThread) -> bool:
        with self._lock:
            if not run.idle:
                return False
            if self._runs.get(run.run_id) is run:
                del self._runs[run.run_id]
            return True

    def _handle(self, run: RunThread, executor: LocalExecutor, instruction: Instruction) -> None:
        job_id = instruction.message_id
        with self._lock:
            job = self._jobs.get(job_id)
        if job is None or run.is_stopped(job_id):
            return
        try:
            outcome = executor.execute(
                job, lambda: self._open_state(job.state), lambda: run.is_stopped(job_id)
            )
            if outcome is None:
                return
            result = self._result(job, outcome)
        except LinkError as error:
            log(logging.WARNING, "Message %s is given back: %s", job.message_id, error)
            self._lanes.tell(lambda agent: agent.let_go(job_id))
            return
        except Exception as error:  # of ours, or of this machine: the next host would fail, too
            log(logging.ERROR, "Message %s failed: %s", job.message_id, error, exc_info=True)
            asked = decode_metadata(_decode(job.meta))
            result = self._result(job, failed(asked, ErrorCode.UNKNOWN, describe(error)))
        with self._lock:
            self._results[job_id] = result
        self._lanes.tell(lambda agent: agent.finish(Reply(job_id, job.run_id)))

    def _result(self, job: Job, outcome: Outcome) -> Result:
        state = self._state_body(outcome.state) if outcome.changed else None
        meta = _encode(encode_metadata(outcome.metadata))
        return Result(
            job.job_id, job.run_id, meta, outcome.body, outcome.fault, state, outcome.seconds
        )

    def _open_state(self, body: Body | None) -> StoredState | None:
        if body is None or not body.parts:
            return None
        records, frames = body.parts
        if not frames.object_id:
            return StoredState(records.data, np.frombuffer(frames.data, np.uint8))
        content = np.empty(frames.nbytes, np.uint8)
        self._link.download(frames.object_id, content.data)
        return StoredState(records.data, content)

    def _state_body(self, state: StoredState | None) -> Body:
        if state is None:
            return Body()
        frames = memoryview(state.frames.data)
        if frames.nbytes < INLINE_BYTES:
            return Body([Part(data=state.records), Part(data=bytes(frames))])
        object_id = hash_of(frames)
        self._link.upload(object_id, frames)
        return Body([Part(data=state.records), Part(object_id=object_id, nbytes=frames.nbytes)])


def run_host(settings: HostSettings, *, parent: int | None = None) -> signal.Signals:
    """Host ClientApps until SIGINT or SIGTERM comes; return which it was.

    Parameters
    ----------
    settings : HostSettings
        For whom, and how.
    parent : int, optional
        Id of a process at whose end SIGTERM comes.

    Raises
    ------
    FlwrError
        If the host cannot start, or its node cannot be reached any more.
    """
    host = Host(settings)
    with stopped_by_signals(host.stop) as signals:
        if parent is not None:
            threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
        log(logging.INFO, "Hosting ClientApps for the SuperNode at %s.", settings.supernode)
        host.run()
        return signals[0]


def _end_with(pid: int) -> None:
    """Wait for the end of a process, which need not be our child, and ask this one to end."""
    with contextlib.suppress(ProcessLookupError):
        if hasattr(os, "pidfd_open"):
            descriptor = os.pidfd_open(pid)
            select.select([descriptor], [], [])
            os.close(descriptor)
        else:
            pause = threading.Event()
            while True:
                os.kill(pid, 0)
                pause.wait(1.0)
    os.kill(os.getpid(), signal.SIGTERM)


def _send_again(job_id: str) -> Callable[[Agent], None]:
    def note(agent: Agent) -> None:
        reply = agent.hold_back(job_id)
        if reply is not None:
            agent.finish(reply)

    return note
