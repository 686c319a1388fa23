"""Replies as they come from the hub: one thread asks for them, the others wait for it."""

import threading
import time
from collections.abc import Iterable

from flwr.transport import appio
from flwr.transport.client import Link
from flwr.transport.fleet import RENEW_SECONDS

MOST_REPLIES = 1000  # of one call


class Inbox:
    """Keeps the replies that nobody has asked for yet.

    Parameters
    ----------
    link : Link
        To the hub.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._changed = threading.Condition()
        self._collecting = False
        self._atleast = 1  # that the thread which asks waits for
        self._waiting = 0  # other threads
        self._after = 0  # the last sequence number that is known
        self._answers: dict[str, appio.Answer] = {}
        self._unwanted: set[str] = set()

    def cursor(self, atleast: int, wait: float) -> appio.Collect:
        """Return the question for what is not known yet."""
        return appio.Collect(
            after=self._after,
            atleast=max(1, min(atleast, MOST_REPLIES)),
            limit=MOST_REPLIES,
            wait=wait,
        )

    def add(self, answers: Iterable[appio.Answer]) -> None:
        """Take what a call brought."""
        with self._changed:
            for answer in answers:
                if answer.seq <= self._after:
                    continue
                self._after = answer.seq
                if answer.message_id in self._unwanted:
                    self._unwanted.remove(answer.message_id)
                else:
                    self._answers[answer.message_id] = answer
            self._changed.notify_all()

    def peek(self, message_id: str) -> appio.Answer | None:
        """Return the answer to a message if it is there."""
        return self._answers.get(message_id)

    def take(self, message_id: str) -> appio.Answer | None:
        """Return the answer to a message if it is there, and forget it."""
        with self._changed:
            return self._answers.pop(message_id, None)

    def give_up(self, message_ids: Iterable[str]) -> None:
        """Want these no more, whether they are there or still come."""
        with self._changed:
            for message_id in message_ids:
                if self._answers.pop(message_id, None) is None:
                    self._unwanted.add(message_id)

    def wait(self, message_id: str, deadline: float | None, missing: int = 1) -> bool:
        """Wait for the answer to a message.

        Parameters
        ----------
        message_id : str
            The message.
        deadline : float, optional
            On the monotonic clock.
        missing : int, default 1
            How many answers the caller needs before it goes on.

        Returns
        -------
        bool
            False if the time is up.
        """
        while message_id not in self._answers:
            left = RENEW_SECONDS if deadline is None else deadline - time.monotonic()
            if left <= 0:
                return False
            self._collect_or_wait(message_id, min(left, RENEW_SECONDS), missing)
        return True

    def look(self) -> None:
        """Fetch what is there, without waiting."""
        self._ask(self.cursor(1, 0.0))

    def _collect_or_wait(self, message_id: str, seconds: float, missing: int) -> None:
        with self._changed:
            if message_id in self._answers:
                return
            if self._collecting and self._atleast == 1:
                self._waiting += 1
                self._changed.wait(seconds)
                self._waiting -= 1
                return
            # Another thread may need less than this one, and what one call waits for is fixed.
            alone = not self._collecting and not self._waiting
            question = self.cursor(missing if alone else 1, seconds)
            self._collecting, self._atleast = True, question.atleast
        try:
            self._ask(question)
        finally:
            with self._changed:
                self._collecting = False
                self._changed.notify_all()

    def _ask(self, question: appio.Collect) -> None:
        self.add(self._link.call(appio.COLLECT, question, wait=question.wait).replies)
