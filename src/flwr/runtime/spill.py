"""Replies that user code holds on to, moved from shared memory to a file.

The file has no name; its regions are reused as records that lay in them go away. Opening a
spilled record maps its region, so reading one again costs the page cache and no private memory.
"""

import mmap
import os
import tempfile
import weakref

import numpy as np

from flwr.runtime.segments import Bytes

_GRAIN = mmap.ALLOCATIONGRANULARITY


class SpillFile:
    """An unnamed temporary file with regions that are taken and given back."""

    def __init__(self) -> None:
        self._fd = -1
        self._end = 0
        self._free: dict[int, list[int]] = {}

    def put(self, content: Bytes) -> "Spilled":
        """Write a record's bytes and return the backing that opens them again."""
        if self._fd < 0:
            self._fd, path = tempfile.mkstemp(prefix="flwr-spill-")
            os.unlink(path)  # noqa: PTH108  (a descriptor is all that is wanted, not a Path)
            weakref.finalize(self, os.close, self._fd)
        size = -(-max(content.nbytes, 1) // _GRAIN) * _GRAIN
        free = self._free.setdefault(size, [])
        offset = free.pop() if free else self._end
        if offset == self._end:
            self._end += size
            os.ftruncate(self._fd, self._end)
        view, at = content.data, offset
        while view:
            written = os.pwrite(self._fd, view[: 1 << 30], at)
            view, at = view[written:], at + written
        spilled = Spilled(self, self._fd, offset, content.nbytes)
        weakref.finalize(spilled, free.append, offset).atexit = False
        return spilled

    @property
    def nbytes(self) -> int:
        """Size of the file."""
        return self._end


class Spilled:
    """A record's bytes in the spill file."""

    __slots__ = ("__weakref__", "_fd", "_file", "_nbytes", "_offset")

    def __init__(self, file: SpillFile, fd: int, offset: int, nbytes: int) -> None:
        self._file = file  # keeps the descriptor open
        self._fd = fd
        self._offset = offset
        self._nbytes = nbytes

    def open(self) -> Bytes:
        """Map the region and return its bytes, read-only."""
        if not self._nbytes:
            return np.empty(0, np.uint8)
        region = mmap.mmap(self._fd, self._nbytes, offset=self._offset, access=mmap.ACCESS_READ)
        root: Bytes = _Region((self._nbytes,), np.uint8, buffer=region)
        root.owner = self  # type: ignore[attr-defined]  # the region is reused when this goes
        return root.view()


class _Region(np.ndarray):
    """An array that keeps its spilled record alive."""

    owner: Spilled
