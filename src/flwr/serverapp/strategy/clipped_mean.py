"""The mean of clipped updates, noised once: what differential privacy puts in FedAvg's place."""

from dataclasses import dataclass
from logging import WARNING
from typing import ClassVar, Self

import numpy as np

from flwr.app import ArrayRecord, memory
from flwr.app.layout import Layout
from flwr.log import log
from flwr.privacy.clipping import (
    apply_change,
    blocks,
    clipping_scale,
    is_floating,
    same_kind,
    update_norm,
)
from flwr.privacy.noise import GaussianNoise
from flwr.serverapp.exception import InconsistentMessageReplies
from flwr.serverapp.strategy.alignment import Alignment
from flwr.serverapp.strategy.replies import Update
from flwr.serverapp.strategy.serversteps import Arrays, by_name, misfit
from flwr.serverapp.strategy.sums import Part, allocate_model, part_of
from flwr.serverapp.strategy.update_sum import UpdateSum

_ROUNDING = 1.01  # times the bound: what rounding to a model's dtype may add to a clipped update


@dataclass(frozen=True)
class ReleaseRule:
    """How the updates of a round become one release.

    Attributes
    ----------
    bound : float
        The most that the norm of an update may be.
    clips : bool
        Whether longer ones are clipped here; else the nodes are trusted to have done so.
    cohort : int
        How many updates there should be.
    stddev : float
        Of the noise on every value of the mean. Above 0, each update counts the same and the
        divisor is the cohort, however many came; with 0 they are weighted by their replies.
    exact : bool
        Whether nothing is released unless the whole cohort came.
    """

    bound: float
    clips: bool
    cohort: int
    stddev: float
    exact: bool


class ClippedMean:
    """The model that was sent plus the mean of clipped updates plus noise.

    An update is what a node changed, its norm that of all floating-point arrays together, in
    float64; other arrays keep the values that were sent. An update that is not finite counts as
    none. The arrays lie as in the first reply; memory is that of one model, of two beyond 32
    replies.

    Parameters
    ----------
    phase : str
        The name of the step in warnings.
    model : ArrayRecord
        The model that was sent.
    rule : ReleaseRule
        How updates are clipped, weighted and noised.

    Attributes
    ----------
    nodes : list[int]
        Whose updates were added so far.
    clipped : int
        How many of them were longer than the bound, or not finite.
    released : bool
        Whether `finish` has given a model.
    """

    kind: ClassVar = "streaming"

    def __init__(self, phase: str, model: ArrayRecord, rule: ReleaseRule) -> None:
        self.phase = phase
        self.model = model
        self.rule = rule
        self.start()

    def start(self) -> None:
        """Forget what was added; ready for a round."""
        self.nodes: list[int] = []
        self.clipped = 0
        self.released = False
        self._alignment = Alignment()
        self._old = np.empty(0, np.uint8)  # the model, as the replies lie
        self._buffer = np.empty(0, np.uint8)  # the sum, then the new model
        self._parts: list[Part] = []  # floats in them
        self._kept: list[tuple[int, int]] = []  # bytes that hold none
        self._sum = UpdateSum([])
        self._not_finite: list[int] = []  # nodes
        self._too_long: list[int] = []

    def add(self, update: Update) -> None:
        """Take in the arrays of one reply.

        Raises
        ------
        InconsistentMessageReplies
            If they do not fit those of the first reply, or the model that was sent.
        AggregationError
            If they cannot be read as numbers.
        """
        buffer = self._alignment.buffer_of(update)
        if not self.nodes:
            self._begin(update)
        self.nodes.append(update.node_id)
        new, old = self._vectors(buffer), self._vectors(self._old)
        norm = update_norm(zip(new, old, strict=True))
        scale = clipping_scale(norm, self.rule.bound)
        self.clipped += scale < 1.0
        if scale == 0.0:
            self._not_finite.append(update.node_id)
        elif not self.rule.clips:
            scale = 1.0
            if norm > self.rule.bound * _ROUNDING:
                self._too_long.append(update.node_id)
        weight = 1.0 if self.rule.stddev else update.weight
        if weight:
            self._sum.add(new, old, weight, scale)

    def merge(self, other: Self) -> None:
        """Take in what another reducer was given, as if it came next; that one starts again.

        Raises
        ------
        InconsistentMessageReplies
            If the arrays of the two lie differently.
        """
        if not self.nodes:
            vars(self).update(vars(other))
        elif other.nodes:
            if self._alignment.layout is not other._alignment.layout:
                raise InconsistentMessageReplies(
                    "Two partial sums hold different arrays, or the same arrays in another order."
                )
            self._sum.join(other._sum)
            self.nodes += other.nodes
            self.clipped += other.clipped
            self._not_finite += other._not_finite
            self._too_long += other._too_long
        other.start()

    def finish(self) -> ArrayRecord | None:
        """Return the new model, made in the memory of the sum; `None` if nothing is released.

        Whose updates there were can still be asked for: `start` begins anew.
        """
        divisor = float(self.rule.cohort) if self.rule.stddev else self._sum.weight
        short = self.rule.exact and len(self.nodes) != self.rule.cohort
        if not self.nodes or not divisor or short:
            return None
        self._warn()
        for start, stop in self._kept:
            self._buffer[start:stop] = self._old[start:stop]
        noise = GaussianNoise(self.rule.stddev) if self.rule.stddev else None
        vectors = self._vectors(self._buffer), self._vectors(self._old), self._sum.finish()
        for new, old, total in zip(*vectors, strict=True):
            for target, old_block, block in blocks(new, old, total):
                change = np.divide(block, divisor, dtype=np.float64)
                if noise is not None:
                    noise.add_to(change)
                apply_change(target, old_block, change)
        self.released = True
        return memory.adopt(self._alignment.layout, self._buffer)

    def _begin(self, update: Update) -> None:
        layout = self._alignment.layout
        self._old = self._model_in(layout, update)
        self._buffer = allocate_model(layout)
        for run in layout.runs:
            dtype = memory.dtype_of(run.dtype)
            if not is_floating(dtype):
                self._kept.append((run.start, run.start + run.count * dtype.itemsize))
            elif run.count:
                self._parts.append(part_of(layout, run))
        self._sum = UpdateSum([part.totals(self._buffer) for part in self._parts])

    def _vectors(self, buffer: np.ndarray) -> list[np.ndarray]:
        return [part.values(buffer) for part in self._parts]

    def _model_in(self, layout: Layout, update: Update) -> np.ndarray:
        """Return the bytes of the model that was sent, lying as the replies do."""
        if memory.layout_of(self.model) is layout:
            return memory.packed(self.model)
        model = by_name(self.model, self.phase)
        buffer = np.empty(layout.nbytes, np.uint8)
        new = dict(zip(layout.names, layout.views(buffer), strict=True))
        difference = misfit(new, model) or _other_kind(new, model)
        if difference is not None:
            raise InconsistentMessageReplies(
                f"ArrayRecord '{update.arrays_name}' of node {update.node_id} does not fit the "
                f"model that it was sent: {difference}."
            )
        layout.fill_each(buffer, (model[name] for name in layout.names))
        return buffer

    def _warn(self) -> None:
        if self._not_finite:
            log(
                WARNING,
                "%s: updates that are not finite count as none: node %s",
                self.phase,
                ", ".join(map(str, self._not_finite)),
            )
        if self._too_long:
            log(
                WARNING,
                "%s: %d of %d updates are longer than the clipping norm %.4f: clip them with a mod "
                "of the ClientApp, or here with reclip=True. Node %s",
                self.phase,
                len(self._too_long),
                len(self.nodes),
                self.rule.bound,
                ", ".join(map(str, self._too_long)),
            )


def _other_kind(new: Arrays, old: Arrays) -> str | None:
    for name, array in new.items():
        if not same_kind(array.dtype, old[name].dtype):
            return f"its array '{name}' is of dtype {array.dtype}, not {old[name].dtype}"
    return None
