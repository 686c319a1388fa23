"""A grid that keeps checkpoints, as bytes, and processes that die right after one."""

import random
from collections.abc import Iterable, Mapping
from typing import Any

from fake_grid import Answer, FakeGrid

from flwr.app import Message
from flwr.runtime.checkpoints import decode_state, encode_state, generators, set_generators
from flwr.wire.content import open_content, seal_content


class Killed(BaseException):
    """The process is gone."""


class SavingGrid(FakeGrid):
    """One process of a run. What it saves outlives it, in `saved`; so do the nodes.

    Attributes
    ----------
    dies_after : int
        The checkpoint of the run, from 1, after which the process dies.
    dies_at : str
        The type of the messages at which it dies, once they were handed out; the first such.
    """

    def __init__(
        self,
        nodes: Iterable[int],
        answer: Answer,
        saved: dict[int, list[tuple[bytes, list[bytes]]]],
        *,
        dies_after: int = 0,
        dies_at: str = "",
    ) -> None:
        super().__init__(nodes, answer)
        self.saved = saved
        self.dies_after = dies_after
        self.dies_at = dies_at
        self._scopes = [0]
        self._opened = 0

    def open_scope(self) -> Mapping[str, Any] | None:
        self._opened += 1
        self._scopes.append(self._opened)
        if self._opened not in self.saved:
            return None
        state = decode_state(open_content(*self.saved[self._opened][-1]))
        set_generators(state["generators"])
        inner: dict[str, Any] = state["state"]
        return inner

    def checkpoint(self, state: Mapping[str, Any]) -> None:
        sealed = seal_content(encode_state({"state": dict(state), "generators": generators()}))
        frames = [bytes(frame) for frame in sealed.frames]
        self.saved.setdefault(self._scopes[-1], []).append((sealed.head, frames))
        if sum(map(len, self.saved.values())) == self.dies_after:
            raise Killed

    def close_scope(self) -> None:
        self._scopes.pop()

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        replies = super().send_and_receive(messages, timeout=timeout)
        if self.sent[-1][0].metadata.message_type == self.dies_at:
            raise Killed
        return replies


def forget_generators() -> None:
    """Put the generators where those of a new process may be."""
    random.seed()
