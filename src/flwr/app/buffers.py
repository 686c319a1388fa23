"""Where the bytes of records lie."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from flwr.app.npy import NDArray


class Backing(Protocol):
    """Bytes that are opened when they are needed, and may move meanwhile."""

    def open(self) -> NDArray:
        """Return the bytes as a read-only uint8 array of one dimension.

        It may be a new view at each call; who holds it keeps it valid.
        """


_allocator: Callable[[int], NDArray] | None = None


def allocate(nbytes: int) -> NDArray:
    """Return memory for the arrays of a record: uint8, one dimension, uninitialised."""
    if _allocator is not None:
        return _allocator(nbytes)
    return np.empty(nbytes, np.uint8)


def set_allocator(function: Callable[[int], NDArray] | None) -> None:
    """Let `allocate` ask a function for memory; ``None`` goes back to numpy's own.

    A worker points this at its shared memory, so that the snapshot a record takes is the one copy.
    """
    global _allocator
    _allocator = function


def opened(backing: Backing | NDArray) -> NDArray:
    """Return the bytes of a backing; what is opened must not be kept in a record."""
    return backing if isinstance(backing, np.ndarray) else backing.open()
