"""App processes that others start: launchers ask what to start, and tell what has ended."""

import asyncio
from dataclasses import dataclass, field

from flwr.superlink.attempts import LAST_WORDS_SECONDS, SILENCE_SECONDS
from flwr.superlink.hub import Hub
from flwr.superlink.waiting import Waiters
from flwr.transport import appio
from flwr.transport.fleet import RENEW_SECONDS

Attempt = tuple[int, int]  # run and number
_NONE = 0  # no attempt: the newest has ended, and the next is not begun


@dataclass
class _Launcher:
    """One process that starts app processes."""

    holding: set[Attempt] = field(default_factory=set)
    handed: set[Attempt] = field(default_factory=set)  # in the last answer, which may be lost
    open: int = 0  # its requests that wait here
    heard: float = 0.0  # when the last one ended


class Outside:
    """What is to be launched, and by whom what runs was launched.

    Parameters
    ----------
    hub : Hub
        Who waits for what.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._wanted: dict[int, str] = {}  # runs that need a process, and of which kind
        self._current: dict[int, int] = {}  # their newest attempts
        self._leaving: set[int] = set()  # runs that have ended, whose processes may take a while
        self._ends: dict[int, asyncio.Future[tuple[int | None, str]]] = {}
        self._launchers: dict[str, _Launcher] = {}
        self._changed = Waiters()
        hub.at_end_of_run(self._run_ended)

    async def launch(self, run_id: int, kind: str) -> None:
        """Have a launcher start the next attempt of a run."""
        self._wanted[run_id] = kind
        self._changed.notify()

    async def end_of_attempt(self, run_id: int) -> tuple[int | None, str]:
        """Wait until a run's process has ended, or its launcher has been silent for too long."""
        loop = asyncio.get_running_loop()
        end = self._end_of(run_id)
        since = loop.time()
        try:
            while not end.done():
                await asyncio.wait({end}, timeout=since + SILENCE_SECONDS - loop.time())
                waits = run_id in self._wanted
                since = max(since, loop.time() if waits else self._heard(run_id))
                if not end.done() and loop.time() - since >= SILENCE_SECONDS:
                    self._current[run_id] = _NONE
                    return None, ""
            return end.result()
        finally:
            self._ends.pop(run_id, None)

    async def launches(self, request: appio.Launching) -> appio.Launches:
        """Take what a launcher tells, and wait until there is something to start or to stop."""
        loop = asyncio.get_running_loop()
        launcher = self._launchers.setdefault(request.instance, _Launcher())
        launcher.open += 1
        try:
            await self._take_news(request, launcher)
            deadline = loop.time() + min(request.wait, RENEW_SECONDS)
            await self._changed.wait_for(
                lambda: (
                    bool(self._unwanted(launcher) or self._fitting(request)) or self._hub.closing
                ),
                deadline,
            )
            if self._hub.closing:
                return appio.Launches(retry_after=1.0)
            start = []
            for run_id in self._fitting(request)[: request.capacity]:
                if (launch := await self._begin(run_id)) is not None:
                    launcher.handed.add((run_id, launch.attempt))
                    start.append(launch)
            stop = [appio.Launched(*attempt) for attempt in self._unwanted(launcher)]
            return appio.Launches(start, stop)
        finally:
            launcher.open -= 1
            launcher.heard = loop.time()

    async def _take_news(self, request: appio.Launching, launcher: _Launcher) -> None:
        ended = {(each.run_id, each.attempt): each for each in request.ended}
        holding = {(each.run_id, each.attempt) for each in request.holding}
        lost = launcher.handed - holding - ended.keys() if launcher.open == 1 else set()
        launcher.handed -= holding | ended.keys() | lost
        launcher.holding = holding
        for attempt in (*ended, *lost):
            run_id, number = attempt
            if run_id not in self._hub.courses or number != await self._newest(run_id):
                continue
            self._current[run_id] = _NONE
            news = ended.get(attempt)
            # who waits for it may not do so yet, after a start of the hub
            end = self._end_of(run_id)
            if not end.done():  # the run may have ended meanwhile
                end.set_result((None, "") if news is None else (news.status, news.tail))

    async def _newest(self, run_id: int) -> int:
        """Return the newest attempt of a run."""
        if run_id not in self._current:
            hosted = await self._hub.store.hosted([run_id])
            self._current.setdefault(run_id, hosted[run_id].attempt)
        return self._current[run_id]

    def _end_of(self, run_id: int) -> "asyncio.Future[tuple[int | None, str]]":
        return self._ends.setdefault(run_id, asyncio.get_running_loop().create_future())

    async def _begin(self, run_id: int) -> appio.Launch | None:
        kind = self._wanted.pop(run_id, None)
        if kind is None or run_id not in self._hub.courses:
            return None
        try:
            attempt, token = await self._hub.next_attempt(run_id)
        except BaseException:
            self._wanted[run_id] = kind
            raise
        self._current[run_id] = attempt
        return appio.Launch(run_id, attempt, token, kind)

    def _fitting(self, request: appio.Launching) -> list[int]:
        if not request.capacity:
            return []
        return [run_id for run_id, kind in self._wanted.items() if kind in request.kinds]

    def _unwanted(self, launcher: _Launcher) -> list[Attempt]:
        """Return the attempts of a launcher that are over for the hub."""
        return [
            (run_id, number)
            for run_id, number in launcher.holding
            if (run_id not in self._hub.courses and run_id not in self._leaving)
            or self._current.get(run_id, number) != number
        ]

    def _heard(self, run_id: int) -> float:
        """Return when the launcher of a run's process, or the process, was last heard of."""
        now = asyncio.get_running_loop().time()
        moments = [self._hub.courses[run_id].heard] if run_id in self._hub.courses else []
        moments += [
            now if launcher.open else launcher.heard
            for launcher in self._launchers.values()
            if any(attempt[0] == run_id for attempt in launcher.holding | launcher.handed)
        ]
        return max(moments, default=0.0)

    def _run_ended(self, run_id: int, *, stopped: bool) -> None:
        self._wanted.pop(run_id, None)
        self._current.pop(run_id, None)
        if (end := self._ends.get(run_id)) is not None and not end.done():
            end.set_result((0, ""))
        if not stopped:
            self._leaving.add(run_id)
            loop = asyncio.get_running_loop()
            loop.call_later(LAST_WORDS_SECONDS, self._should_have_left, run_id)
        self._changed.notify()

    def _should_have_left(self, run_id: int) -> None:
        self._leaving.discard(run_id)
        self._changed.notify()
