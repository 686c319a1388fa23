"""Bringing replies into one layout, or refusing those that do not fit."""

import numpy as np

from flwr.app import memory
from flwr.app.layout import Layout
from flwr.serverapp.exception import AggregationError, InconsistentMessageReplies
from flwr.serverapp.strategy.replies import Update, check_names
from flwr.serverapp.strategy.serversteps import Arrays, misfit


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
        opened = self.opened(update)
        if isinstance(opened, np.ndarray):
            return opened
        buffer = np.empty(self.layout.nbytes, np.uint8)
        for target, source in zip(self.layout.views(buffer), opened, strict=True):
            target[...] = source
        return buffer

    def opened(self, update: Update) -> np.ndarray | list[np.ndarray]:
        """Return a reply's arrays without copying them.

        Returns
        -------
        np.ndarray or list[np.ndarray]
            The same bytes as from `buffer_of`, if they lie in the common layout; else the arrays
            in the layout's order, in their own memory and byte order.

        Raises
        ------
        InconsistentMessageReplies
            As for `buffer_of`.
        AggregationError
            As for `buffer_of`.
        """
        buffer = memory.packed(update.arrays)
        layout = memory.layout_of(update.arrays)
        if self._first_node is None:
            self._first_node = update.node_id
            self.layout = Layout.of(layout.names, _decoded(update)) if layout.has_raw else layout
        return buffer if layout is self.layout else self._in_order(update)

    def _in_order(self, update: Update) -> list[np.ndarray]:
        layout = self.layout
        arrays = dict(zip(update.arrays, _decoded(update), strict=True))
        check_names(
            f"ArrayRecord '{update.arrays_name}'",
            (update.node_id, arrays),
            (self._first_node, layout.index),
        )
        for entry in layout.entries:
            array = arrays[entry.name]
            self._check(update, entry.name, "shape", array.shape, entry.shape)
            dtype = memory.dtype_of(entry.dtype)
            self._check(update, entry.name, "dtype", native(array.dtype), native(dtype))
        return [arrays[name] for name in layout.names]

    def _check(self, update: Update, name: str, what: str, found: object, first: object) -> None:
        if found != first:
            raise InconsistentMessageReplies(
                f"Array '{name}' in ArrayRecord '{update.arrays_name}' of node {update.node_id} "
                f"has {what} {found}, that of node {self._first_node} has {first}."
            )


def check_fit(update: Update, model: Arrays) -> None:
    """Compare the names and shapes of a reply's arrays with those of the model that was sent.

    Raises
    ------
    InconsistentMessageReplies
        If they differ.
    AggregationError
        If an array is of a kind that no number can be read from.
    """
    arrays = dict(zip(update.arrays, _decoded(update), strict=True))
    difference = misfit(arrays, model)
    if difference is not None:
        raise InconsistentMessageReplies(
            f"ArrayRecord '{update.arrays_name}' of node {update.node_id} does not fit the model "
            f"that it was sent: {difference}."
        )


def are_renamed(update: Update, model: Arrays) -> bool:
    """Whether a reply has the model's arrays, place by place, under names that are all new.

    Raises
    ------
    AggregationError
        If an array is of a kind that no number can be read from.
    """
    shapes = [array.shape for array in _decoded(update)]
    return update.arrays.keys().isdisjoint(model) and shapes == [a.shape for a in model.values()]


def _decoded(update: Update) -> list[np.ndarray]:
    try:
        return memory.views(update.arrays)
    except (TypeError, ValueError) as error:
        raise AggregationError(
            f"ArrayRecord '{update.arrays_name}' of node {update.node_id} holds an array that "
            f"cannot be read as numbers: {error}"
        ) from error


def native(dtype: np.dtype) -> np.dtype:
    """Return a dtype in this machine's byte order."""
    return dtype.newbyteorder("=")
