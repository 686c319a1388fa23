"""Bringing replies into one layout, or refusing those that do not fit."""

import numpy as np

from flwr.app import memory
from flwr.app.layout import Layout
from flwr.serverapp.exception import AggregationError, InconsistentMessageReplies
from flwr.serverapp.strategy.replies import Update


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
        self._check_names(update, arrays)
        buffer = np.empty(layout.nbytes, np.uint8)
        for name, target in zip(layout.names, layout.views(buffer), strict=True):
            source = arrays[name]
            self._check(update, name, "shape", source.shape, target.shape)
            self._check(update, name, "dtype", _native(source.dtype), _native(target.dtype))
            target[...] = source
        return buffer

    def _check_names(self, update: Update, arrays: dict[str, np.ndarray]) -> None:
        known = set(self.layout.names)
        missing = [name for name in self.layout.names if name not in arrays]
        unknown = [name for name in arrays if name not in known]
        if missing or unknown:
            lacks = f" lacks {_some(missing)}" if missing else ""
            adds = f" adds {_some(unknown)}" if unknown else ""
            raise InconsistentMessageReplies(
                f"ArrayRecord '{update.arrays_name}' of node {update.node_id}{lacks}"
                f"{' and' if missing and unknown else ''}{adds}, compared with node "
                f"{self._first_node}. All replies must hold arrays of the same names."
            )

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


def _some(names: list[str], limit: int = 3) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
