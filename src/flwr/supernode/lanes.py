"""The threads that keep one exchange parked, and send another when there is something to tell."""

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from flwr.errors import RefusedError, UnreachableError
from flwr.log import log
from flwr.supernode.agent import MOST_UNDER_WAY, Agent, News, Sending
from flwr.transport.call import Failure, Refusal
from flwr.transport.fleet import Exchange, Exchanged, Reply

T = TypeVar("T")
_FINAL = (Refusal.SUPERSEDED, Refusal.VERSION, Refusal.WRONG_PORT)  # there is no cure
_FINAL_AT_FIRST = (Failure.FOREIGN_SERVER,)  # later it may be a proxy that is being set up
_PASSING = (Refusal.UNAVAILABLE, Refusal.INTERNAL, Refusal.DISK_FULL)  # perhaps
_STRANGER = (Refusal.UNKNOWN_NODE, Refusal.NOT_ALLOWED)  # unless an introduction is one


@dataclass(frozen=True)
class Patience:
    """How long the other side is tried again, before one gives up.

    Attributes
    ----------
    seconds : float
        Since it last answered.
    retries : int, optional
        Attempts in a row; no limit by default.
    """

    seconds: float = 600.0
    retries: int | None = None


class Lanes:
    """Exchanges with the other side, in threads.

    Parameters
    ----------
    agent : Agent
        Decides what is sent. Only used through this object, which guards it.
    introduce : callable
        Introduces this process and returns its epoch.
    exchange : callable
        Sends one exchange, once, and returns the answer.
    hear : callable
        Told what an answer means, in the thread that got it, before others may speak.
    clear_away : callable
        Told the same when there is time.
    again : callable
        Told of replies that were refused: something of them may be missing at the other side.
    fail : callable
        Told what has no cure.
    patience : Patience
        How long to try again.
    """

    def __init__(
        self,
        agent: Agent,
        *,
        introduce: Callable[[], int],
        exchange: Callable[[Exchange], Exchanged],
        hear: Callable[[News], None],
        clear_away: Callable[[News], None],
        again: Callable[[list[Reply]], None],
        fail: Callable[[BaseException], None],
        patience: Patience,
    ) -> None:
        self._agent = agent
        self._introduce = introduce
        self._exchange = exchange
        self._hear = hear
        self._clear_away = clear_away
        self._again = again
        self._fail = fail
        self._patience = patience
        self._changed = threading.Condition()
        self._introducing = False
        self._answered = False
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._work, name=f"exchange {number}", daemon=True)
            for number in range(MOST_UNDER_WAY)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def tell(self, note: Callable[[Agent], T]) -> T:
        """Let the agent note something, and send what follows from it; return what it says."""
        with self._changed:
            said = note(self._agent)
            self._changed.notify()
        return said

    def stop(self) -> Sending | None:
        """Send nothing more; return the last words, which the caller may send."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            return self._agent.next_exchange(time.monotonic(), leaving=True)

    def answered(self, sending: Sending, answer: Exchanged) -> News:
        """Take the answer to the last words."""
        with self._changed:
            return self._agent.answered(sending, answer, time.monotonic())

    def join(self, timeout: float) -> None:
        """Wait for the threads' end."""
        for thread in self._threads:
            thread.join(timeout)

    # -- the threads

    def _work(self) -> None:
        try:
            while (todo := self._next()) is not None:
                todo()
        except BaseException as error:
            self._fail(error)

    def _next(self) -> Callable[[], None] | None:
        """Wait for something to do; ``None`` says that this is the end."""
        with self._changed:
            while not self._stopping:
                now = time.monotonic()
                again = self._agent.look_again
                if self._agent.must_introduce:
                    again = None if self._introducing else self._agent.introduce_at
                    if again is not None and now >= again:
                        self._introducing = True
                        return self._introduce_once
                elif (sending := self._agent.next_exchange(now)) is not None:
                    found = sending
                    return lambda: self._exchange_once(found)
                self._changed.wait(None if again is None else max(0.0, again - now))
        return None

    def _introduce_once(self) -> None:
        try:
            epoch = self._introduce()
        except UnreachableError as error:
            self._failed(None, error)
        except RefusedError as error:
            if error.code not in _PASSING:
                raise
            self._failed(None, error)
        else:
            self.tell(lambda agent: agent.welcomed(epoch))
        finally:
            with self._changed:
                self._introducing = False
                self._changed.notify_all()

    def _exchange_once(self, sending: Sending) -> None:
        try:
            answer = self._exchange(sending.exchange)
        except UnreachableError as error:
            self._failed(sending, error)
            return
        except RefusedError as error:
            self._refused(sending, error)
            return
        with self._changed:
            self._answered = True
            news = self._agent.answered(sending, answer, time.monotonic())
            if not self._stopping:
                self._hear(news)
            self._changed.notify()
        self._clear_away(news)

    def _refused(self, sending: Sending, error: RefusedError) -> None:
        if error.code in _FINAL or (error.code in _FINAL_AT_FIRST and not self._answered):
            raise error
        log(logging.WARNING, "An exchange was refused: %s", error)
        with self._changed:
            self._agent.failed(sending, time.monotonic(), 1.0)
            if error.code in _STRANGER:
                self._agent.unknown()
            self._changed.notify()
        self._again(sending.exchange.done)

    def _failed(self, sending: Sending | None, error: UnreachableError | RefusedError) -> None:
        """Try again later, unless that has been done for too long."""
        with self._changed:
            now = time.monotonic()
            first = self._agent.failures == 0
            self._agent.failed(sending, now, random.random())  # noqa: S311  (spreads nodes out)
            failures, since = self._agent.failures, self._agent.failing_for(now)
            stopping = self._stopping
            self._changed.notify()
        if stopping:
            return
        if first:
            log(logging.WARNING, "%s Trying again …", error.message)
        retries = self._patience.retries
        if since >= self._patience.seconds or (retries is not None and failures > retries):
            raise error
