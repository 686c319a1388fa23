"""Where a run's ``main`` is: its scopes, their checkpoints, and the messages between them. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from flwr.runtime.ids import message_id


@dataclass
class Scope:
    """A part of ``main`` that finds its place by itself.

    Attributes
    ----------
    number : int
        0 for ``main``, k for the k-th one opened in it.
    step : int
        How many checkpoints it has had.
    done : list of str
        Messages whose replies have been given since the last one, or are wanted no more.
    """

    number: int
    step: int = 0
    done: list[str] = field(default_factory=list)
    _counts: Counter[tuple[int, str]] = field(default_factory=Counter)

    def next_id(self, run_id: int, node_id: int, message_type: str) -> str:
        """Return the id of the next message of a type to a node."""
        key = (node_id, message_type)
        number = self._counts[key]
        self._counts[key] += 1
        return message_id(run_id, self.number, self.step, node_id, message_type, number)

    def saved(self, step: int, released: Iterable[str] = ()) -> None:
        """Note that a checkpoint is there."""
        released = set(released)
        self.step = step + 1
        self.done = [each for each in self.done if each not in released]
        self._counts.clear()


class Scopes:
    """The scope that ``main`` is in, and those around it.

    Attributes
    ----------
    opened : int
        How many were opened.
    """

    def __init__(self) -> None:
        self.opened = 0
        self._within = [Scope(0)]

    @property
    def current(self) -> Scope:
        """The innermost one."""
        return self._within[-1]

    def open(self) -> Scope:
        """Begin the next one."""
        self.opened += 1
        self._within.append(Scope(self.opened))
        return self.current

    def close(self) -> None:
        """Go back to the one around."""
        if len(self._within) == 1:
            raise RuntimeError("No scope is open but that of main, which cannot be closed.")
        self._within.pop()
