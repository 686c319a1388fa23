"""Bringing replies into one layout, or refusing those that do not fit."""

import numpy as np

from flwr.app import memory
from flwr.app.layout import Layout
from flwr.serverapp.exception import AggregationError, InconsistentMessageReplies
from flwr.serverapp.strategy.replies import Update, check_names


class Alignment:
    """The layout of the first reply, into which all others are brought.

    Attributes
    ----------
    layout : Layout
        How the bytes of every aligned reply lie; that of no arrays before the first one.
    """

    def __init__(self) -> None:
        self.layout = Layout.of([], [])
        self._first_node: int | None = None

    def buffer_of(self, update: Update) -> np.ndarray:
        """Return a reply's arrays as one read-only run of bytes in the common layout.

        Nothing is copied if the reply has that layout, which it has when all nodes run the same
        model. Arrays in another order are sorted by name, in other memory order rearranged.

        Returns
        -------
        np.ndarray
            uint8, of ``layout.nbytes``.

        Raises
        ------
        InconsistentMessageReplies
            If the names, a shape or a dtype differ from the first reply's.
        AggregationError
            If an array is of a kind that no number can be read from.
        """
        buffer = memory.packed(update.arrays)
        layout = memory.layout_of(update.arrays)
        if self._first_node is None:
            self._first_node = update.node_id
            self.layout = Layout.of(layout.names, _decoded(update)) if layout.has_raw else layout
        return buffer if layout is self.layout else self._rearranged(update)

    def _rearranged(self, update: Update) -> np.ndarray:
        layout = self.layout
        arrays = dict(zip(update.arrays, _decoded(update), strict=True))
        check_names(
            f"ArrayRecord '{update.arrays_name}'",
            (update.node_id, arrays),
            (self._first_node, layout.index),
        )
        buffer = np.empty(layout.nbytes, np.uint8)
        for name, target in zip(layout.names, layout.views(buffer), strict=True):
            source = arrays[name]
            self._check(update, name, "shape", source.shape, target.shape)
            self._check(update, name, "dtype", _native(source.dtype), _native(target.dtype))
            target[...] = source
        return buffer

    def _check(self, update: Update, name: str, what: str, found: object, first: object) -> None:
        if found != first:
            raise InconsistentMessageReplies(
                f"Array '{name}' in ArrayRecord '{update.arrays_name}' of node {update.node_id} "
                f"has {what} {found}, that of node {self._first_node} has {first}."
            )


def _decoded(update: Update) -> list[np.ndarray]:
    try:
        return memory.views(update.arrays)
    except (TypeError, ValueError) as error:
        raise AggregationError(
            f"ArrayRecord '{update.arrays_name}' of node {update.node_id} holds an array that "
            f"cannot be read as numbers: {error}"
        ) from error


def _native(dtype: np.dtype) -> np.dtype:
    return dtype.newbyteorder("=")
