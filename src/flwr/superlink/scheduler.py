"""The app processes of runs: one task for each live run sees that it has one."""

import asyncio
from logging import ERROR, INFO, WARNING
from pathlib import Path

from flwr.clock import unix_now
from flwr.errors import FlwrError, RefusedError, RunStateError
from flwr.log import log
from flwr.runtime.appprocess import PATIENCE, LaunchFacts
from flwr.store.lifecycle import RunEvent
from flwr.superlink.attempts import (
    AFTER_START,
    LAST_WORDS_SECONDS,
    Process,
    Step,
    after_death,
    describe_end,
)
from flwr.superlink.hub import Hub
from flwr.superlink.launcher import LocalProcess, ProcessId, tail
from flwr.superlink.outside import Outside
from flwr.superlink.runs import Runs
from flwr.transport import appio
from flwr.transport.call import Refusal
from flwr.transport.tls import ClientTls

RETRY_SECONDS = 5.0  # after the hub itself could not start a process


class Scheduler:
    """Starts, watches and ends the app processes of runs.

    Parameters
    ----------
    hub : Hub
        Who waits for what.
    runs : Runs
        Ends runs.
    folder : Path
        Holds a folder for each run.
    outside : bool
        Others start the processes (``--isolation process``).
    patience : float
        Seconds for which processes on this machine go on trying while the hub is away.
    """

    def __init__(
        self, hub: Hub, runs: Runs, folder: Path, *, outside: bool, patience: float = PATIENCE
    ) -> None:
        self._hub = hub
        self._store = hub.store
        self._runs = runs
        self._folder = folder
        self._patience = patience
        self._outside = Outside(hub) if outside else None
        self._address = ""
        self._tls: ClientTls | None = None
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._processes: dict[int, LocalProcess] = {}
        hub.at_end_of_run(self._run_ended)

    def start(self, address: str, tls: ClientTls | None) -> None:
        """Take up all live runs.

        Parameters
        ----------
        address, tls
            How app processes on this machine reach the hub.
        """
        self._address, self._tls = address, tls
        for run_id in list(self._hub.courses):
            self.begin(run_id)

    def begin(self, run_id: int) -> None:
        """See from now on that a run has an app process."""
        if run_id not in self._tasks:
            task = self._hub.in_background(self._drive(run_id))
            self._tasks[run_id] = task
            task.add_done_callback(lambda _: self._tasks.pop(run_id, None))

    async def launches(self, request: appio.Launching) -> appio.Launches:
        """Wait for processes to launch elsewhere."""
        if self._outside is None:
            raise RefusedError(
                Refusal.NOT_ALLOWED,
                "This SuperLink starts app processes itself.",
                hint="Start it with --isolation process to have others do it.",
            )
        return await self._outside.launches(request)

    async def close(self, *, leave: bool) -> None:
        """Stop watching.

        Parameters
        ----------
        leave : bool
            Leave the processes alone, for the next hub; else end them.
        """
        for task in list(self._tasks.values()):
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        processes = list(self._processes.values())
        if leave:
            for process in processes:
                process.let_go()
        else:
            await asyncio.gather(*(process.end() for process in processes))

    def _run_ended(self, run_id: int, *, stopped: bool) -> None:
        process = self._processes.get(run_id)
        if process is not None:
            self._hub.in_background(self._see_off(process, stopped=stopped))

    async def _see_off(self, process: LocalProcess, *, stopped: bool) -> None:
        if not stopped:
            await asyncio.wait({process.watching}, timeout=LAST_WORDS_SECONDS)
        await process.end()

    async def _drive(self, run_id: int) -> None:
        """See a run to its end, from one attempt to the next."""
        step: Step | None = None
        while run_id in self._hub.courses:
            try:
                if step is None:
                    step = AFTER_START[await self._state_of_process(run_id)]
                if step is Step.LAUNCH:
                    await self._launch(run_id)
                status, printed = await self._end_of_attempt(run_id)
                step = await self._judge(run_id, status, printed)
            except RunStateError:
                return  # it has ended meanwhile
            except (FlwrError, OSError) as error:
                log(ERROR, "Run %d: its process could not be started: %s", run_id, error)
                await asyncio.sleep(RETRY_SECONDS)

    async def _state_of_process(self, run_id: int) -> Process:
        """Return what is known of a run's newest process, and begin to watch it if it is here."""
        hosted = (await self._store.hosted([run_id]))[run_id]
        if hosted.attempt == 0:
            return Process.NONE
        if self._outside is not None:
            return Process.ELSEWHERE
        if hosted.pid is None:
            return Process.UNRECORDED
        identity = ProcessId(hosted.pid, hosted.process_created or 0.0)
        if not identity.is_alive():
            return Process.GONE
        self._processes[run_id] = LocalProcess(identity)
        return Process.HERE

    async def _launch(self, run_id: int) -> None:
        """Begin the next attempt of a run."""
        kind = (await self._store.hosted([run_id]))[run_id].kind
        if self._outside is not None:
            await self._outside.launch(run_id, kind)
            return
        attempt, token = await self._hub.next_attempt(run_id)
        process = await LocalProcess.start(kind, self._output(run_id))
        try:
            await self._store.record_process(
                run_id, attempt, process.identity.pid, process.identity.created
            )
        except BaseException:
            process.abandon()
            raise
        self._processes[run_id] = process
        process.tell(LaunchFacts(self._address, token, self._tls, self._patience))
        log(INFO, "Run %d: started its process, attempt %d", run_id, attempt)

    async def _end_of_attempt(self, run_id: int) -> tuple[int | None, str]:
        """Wait for the end of a run's process; return its status, and the end of its output."""
        if self._outside is not None:
            return await self._outside.end_of_attempt(run_id)
        process = self._processes.get(run_id)
        status = await process.ended() if process is not None else None
        self._processes.pop(run_id, None)
        return status, tail(self._output(run_id))

    async def _judge(self, run_id: int, status: int | None, printed: str) -> Step:
        """Return what follows the end of an attempt; give a run up that gets no further."""
        if run_id not in self._hub.courses:
            return Step.GIVE_UP
        hosted = (await self._store.hosted([run_id]))[run_id]
        how = f"its process {describe_end(status)}"
        step = after_death(hosted.launches, status)
        if step is Step.GIVE_UP:
            details = f"{how}, {hosted.launches} times without getting further"
            last = printed.strip().splitlines()[-1:] or [""]
            log(ERROR, "Run %d has failed: %s", run_id, details)
            await self._store.add_log(
                run_id, f"\n{printed}\nThe run fails: {details}\n", unix_now()
            )
            await self._runs.end(run_id, RunEvent.FAIL, f"{details}: {last[0]}".rstrip(": "), 1)
        else:
            log(WARNING, "Run %d: %s; it is started again", run_id, how)
            await self._hub.tell(run_id, f"The ServerApp died: {how}; it is started again\n")
        return step

    def _output(self, run_id: int) -> Path:
        return self._folder / str(run_id) / "process.log"
