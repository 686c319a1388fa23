"""How replies become one value: the reducer protocol and the weighted mean of arrays."""

from collections.abc import Iterable, Sequence
from logging import WARNING
from typing import ClassVar, Protocol, Self, TypeVar

import numpy as np

from flwr.app import ArrayRecord, Message, memory
from flwr.log import log
from flwr.serverapp.exception import InconsistentMessageReplies
from flwr.serverapp.strategy.alignment import Alignment
from flwr.serverapp.strategy.replies import ReplyReader, Update
from flwr.serverapp.strategy.sums import WeightedSum, origins_of

Value_co = TypeVar("Value_co", covariant=True)

GROUP = 32  # replies that are summed before their sum joins the total: keeps float32 sums accurate
TOGETHER = 4 * GROUP  # replies at hand that are added in one pass over the sum
SMALL = 1 << 16  # bytes of a model whose replies are rather copied than added one by one


class Reducer(Protocol[Value_co]):
    """Turns the updates of a round into one value, one update at a time.

    Attributes
    ----------
    kind : str
        What is kept of updates until `finish`: nothing ("streaming"), all of them, but opened a few
        coordinates at a time ("blockwise"), or all of them ("gather").
    """

    kind: ClassVar[str]

    def start(self) -> None:
        """Forget what was added; ready for a round."""
        ...

    def add(self, update: Update) -> None:
        """Take in one update. Its arrays are let go at once unless the rule says otherwise."""
        ...

    def merge(self, other: Self) -> None:
        """Take in what another reducer of the same kind was given, as if it came next."""
        ...

    def finish(self) -> Value_co | None:
        """Return the value and start again; ``None`` if nothing of weight was added."""
        ...


def reduce_replies(
    replies: Iterable[Message], reader: ReplyReader, reducers: Sequence[Reducer[object]]
) -> None:
    """Read each reply once, give it to each reducer and let it go; then log what came."""
    try:
        for update in reader.read(replies):
            for reducer in reducers:
                reducer.add(update)
            del update
    finally:
        reader.log()


class ArrayMean:
    """The weighted mean of ArrayRecords, in the memory of one model (two beyond 32 replies).

    Replies are summed in the order in which they are added, in groups of 32 whose sums are then
    summed, so the bits of the mean depend on that order and on nothing else. The result has the
    array names, shapes and dtypes of the first reply. Replies of weight 0 are checked, not summed.

    Parameters
    ----------
    phase : str
        The name of the step in warnings.
    together : int, default 1
        How many replies may be held so as to be added in one pass: faster, same bits.
    """

    kind: ClassVar[str] = "streaming"

    def __init__(self, phase: str, *, together: int = 1) -> None:
        self.phase = phase
        self.together = together
        self.start()

    def start(self) -> None:
        """Forget what was added; ready for a round."""
        self._alignment = Alignment()
        self._held: list[tuple[int, np.ndarray, float]] = []  # node, bytes, weight
        self._origins: list[np.ndarray | None] | None = None
        self._group: WeightedSum | None = None
        self._total: WeightedSum | None = None
        self._not_finite: dict[int, str] = {}  # by node, the first such array

    def add(self, update: Update) -> None:
        """Take in the arrays of one reply.

        Raises
        ------
        InconsistentMessageReplies
            If they do not fit those of the first reply.
        AggregationError
            If they are of a kind that has no mean.
        """
        buffer = self._alignment.buffer_of(update)
        if update.weight == 0:
            return
        together = self.together
        if buffer.nbytes <= SMALL:
            if together < GROUP:
                buffer, together = buffer.copy(), GROUP
        elif not isinstance(memory.backing_of(update.arrays), np.ndarray):
            together = 1  # it was opened for this: holding it would keep its memory in use
        self._held.append((update.node_id, buffer, update.weight))
        if len(self._held) >= together:
            self._add_held()

    def merge(self, other: Self) -> None:
        """Take in what another reducer was given, as if it came next; that one starts again.

        The bits are those of a single reducer if both were given whole groups of 32.

        Raises
        ------
        InconsistentMessageReplies
            If the arrays of the two lie differently.
        """
        theirs = other._sum()
        if theirs is None:
            return
        ours = self._sum()
        if ours is None:
            self._alignment, self._origins = other._alignment, other._origins
            self._total = theirs
        elif self._alignment.layout is not other._alignment.layout:
            raise InconsistentMessageReplies(
                "Two partial sums hold different arrays, or the same arrays in another order."
            )
        else:
            ours.join(theirs)
        self._not_finite |= other._not_finite
        other.start()

    def finish(self) -> ArrayRecord | None:
        """Return the mean, made in the memory of the sum, and start again."""
        total, layout, not_finite = self._sum(), self._alignment.layout, self._not_finite
        self.start()
        if total is None:
            return None
        if not_finite:
            log(
                WARNING,
                "%s: the aggregated arrays are not finite, because of %s",
                self.phase,
                ", ".join(f"array '{name}' of node {node}" for node, name in not_finite.items()),
            )
        return memory.adopt(layout, total.mean())

    def _sum(self) -> WeightedSum | None:
        """Bring all that was added into the total."""
        if self._held:
            self._add_held(last=True)
        if self._group is not None and self._group.count:
            self._close(self._group)
        return self._total

    def _add_held(self, *, last: bool = False) -> None:
        """Add the replies at hand: to the open group, as whole groups, to a new open group."""
        held, self._held = self._held, []
        replies = [(buffer, weight) for _, buffer, weight in held]
        room = GROUP - self._group.count if self._group is not None and self._group.count else 0
        nan = self._add_to_group(replies[:room])
        replies = replies[room:]
        whole = len(replies) if last else len(replies) // GROUP * GROUP
        if whole:
            if self._total is None:
                self._total = self._new_sum(replies[0][0])
            groups = [replies[first : first + GROUP] for first in range(0, whole, GROUP)]
            nan |= self._total.add_groups(groups)
        nan |= self._add_to_group(replies[whole:])
        if nan:
            for node_id, buffer, _ in held:
                self._look_for_culprit(node_id, buffer)

    def _add_to_group(self, replies: list[tuple[np.ndarray, float]]) -> bool:
        if not replies:
            return False
        if self._group is None:
            self._group = self._new_sum(replies[0][0])
        nan = self._group.add(replies)
        if self._group.count == GROUP:
            self._close(self._group)
        return nan

    def _new_sum(self, first: np.ndarray) -> WeightedSum:
        if self._origins is None:
            self._origins = origins_of(self._alignment.layout, first)
        return WeightedSum(self._alignment.layout, self._origins)

    def _close(self, group: WeightedSum) -> None:
        if self._total is None:
            self._total, self._group = group, None
        else:
            self._total.join(group)
            group.clear()  # its memory serves the next group

    def _look_for_culprit(self, node_id: int, buffer: np.ndarray) -> None:
        layout = self._alignment.layout
        for name, array in zip(layout.names, layout.views(buffer), strict=True):
            if not np.isfinite(array).all():
                self._not_finite[node_id] = name
                return
