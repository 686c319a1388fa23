"""Shared memory between a run's process and its workers.

A segment is one region that both sides map: a memfd where the system has it, an unlinked
temporary file elsewhere (or with ``FLWR_SHM=file``). It has no name, so nothing is left behind
whatever is killed.

A segment is written again only when nobody can see it any more. Who can is known by weak
references: to the backings that records hold, and to the arrays that were opened from it.
"""

import mmap
import os
import tempfile
import weakref
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from flwr.app.memory import Backing

Bytes = npt.NDArray[np.uint8]


def new_file(nbytes: int = 0) -> int:
    """Open an unnamed file of the given size and return its descriptor, which the caller owns."""
    if hasattr(os, "memfd_create") and os.environ.get("FLWR_SHM") != "file":
        fd = os.memfd_create("flwr", os.MFD_CLOEXEC)
    else:
        fd, path = tempfile.mkstemp(prefix="flwr-")
        os.unlink(path)  # noqa: PTH108  (a descriptor is all that is wanted, not a Path)
    try:
        os.ftruncate(fd, nbytes)
    except BaseException:
        os.close(fd)
        raise
    return fd


class Segment:
    """One shared region.

    Parameters
    ----------
    fd : int
        Descriptor of the region; the segment owns it.
    nbytes : int
        Its size.
    key : int
        The number both sides know it by.
    """

    def __init__(self, fd: int, nbytes: int, key: int) -> None:
        self.fd = fd
        self.nbytes = nbytes
        self.key = key
        self.retired = False
        self.turn: int | None = None  # of the reply that lies in it; None: it is not lent as a slot
        self._map = mmap.mmap(fd, nbytes)
        self._seen: list[weakref.ref[object]] = []

    @classmethod
    def create(cls, nbytes: int, key: int) -> "Segment":
        """Make a new region of at least one page."""
        nbytes = max(nbytes, mmap.PAGESIZE)
        return cls(new_file(nbytes), nbytes, key)

    def open(self, offset: int = 0, nbytes: int | None = None, *, writable: bool = False) -> Bytes:
        """Return the region's bytes as an array whose life is watched.

        Parameters
        ----------
        offset, nbytes : int
            The part that is wanted; all of it by default.
        writable : bool
            Whether the caller may write.
        """
        size = self.nbytes - offset if nbytes is None else nbytes
        root: Bytes = np.ndarray((size,), np.uint8, buffer=self._map, offset=offset)
        root.flags.writeable = writable
        self.watch(root)
        return root

    def watch(self, holder: object) -> None:
        """Count ``holder`` as a user of the region for as long as it lives."""
        self._seen.append(weakref.ref(holder))

    def forget(self, holder: object) -> None:
        """No longer count ``holder``."""
        self._seen = [ref for ref in self._seen if ref() is not holder]

    def holders(self) -> list[object]:
        """Return what lives of all that was counted."""
        return [seen for ref in self._seen if (seen := ref()) is not None]

    @property
    def in_use(self) -> bool:
        """Whether anything that was opened from the region, or holds it, still lives."""
        self._seen = [ref for ref in self._seen if ref() is not None]
        return bool(self._seen)

    def close(self) -> None:
        """Give the descriptor back. Memory goes with the last array opened from it."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Held:
    """A part of a segment that a record lies in; opened anew at each use, never copied.

    Parameters
    ----------
    segment : Segment
        Where the bytes are.
    nbytes : int
        How many, from ``offset`` on.
    """

    __slots__ = ("__weakref__", "_elsewhere", "nbytes", "offset", "segment")

    def __init__(self, segment: Segment, nbytes: int, offset: int = 0) -> None:
        self.segment: Segment | None = segment
        self.nbytes = nbytes
        self.offset = offset
        self._elsewhere: Backing | None = None
        segment.watch(self)

    def open(self) -> Bytes:
        """Return the bytes, read-only."""
        if self.segment is None:
            assert self._elsewhere is not None
            return self._elsewhere.open()
        return self.segment.open(self.offset, self.nbytes)

    def move(self, put: Callable[[Bytes], Backing]) -> None:
        """Move the bytes out of the segment; the record does not notice."""
        segment, content = self.segment, self.open()
        self._elsewhere = put(content)
        self.segment = None
        if segment is not None:
            segment.forget(self)


class SegmentPool:
    """The parent's segments: handed out, watched, and reused once nobody sees them."""

    def __init__(self) -> None:
        self._segments: list[Segment] = []
        self._next_key = 1

    def __iter__(self) -> Iterator[Segment]:
        return iter(self._segments)

    def take(self, nbytes: int, *, prefer: frozenset[int] | set[int] = frozenset()) -> Segment:
        """Return a free segment of at least ``nbytes``, made now if there is none.

        Parameters
        ----------
        nbytes : int
            The least size.
        prefer : set of int
            Keys of segments that the receiver has mapped already.
        """
        free = [s for s in self._segments if not s.in_use]
        fitting = [s for s in free if nbytes <= s.nbytes <= 2 * nbytes + mmap.PAGESIZE]
        if fitting:
            segment = min(fitting, key=lambda s: (s.key not in prefer, s.nbytes, s.key))
            segment.turn = None
            return segment
        for segment in free:  # sizes have changed: give the memory back before asking for more
            if segment.nbytes >= _WORTH_GIVING_BACK:
                self.retire(segment)
        segment = Segment.create(nbytes, self._next_key)
        self._next_key += 1
        self._segments.append(segment)
        return segment

    def retire(self, segment: Segment) -> None:
        """Never write this segment again; its memory goes with its last user."""
        if not segment.retired:
            segment.retired = True
            self._segments.remove(segment)
            segment.close()

    def close(self) -> None:
        """Give all descriptors back."""
        for segment in list(self._segments):
            self.retire(segment)


_WORTH_GIVING_BACK = 1 << 20


class Attached:
    """A worker's mappings of the parent's segments, by key."""

    def __init__(self) -> None:
        self._segments: dict[int, Segment] = {}

    def add(self, key: int, fd: int, nbytes: int) -> None:
        """Map a segment that the parent has announced."""
        self._segments[key] = Segment(fd, nbytes, key)
        self._segments[key].close()  # the mapping stays; descriptors are scarce

    def __getitem__(self, key: int) -> Segment:
        return self._segments[key]

    def drop(self, keys: list[int]) -> None:
        """Forget segments that the parent has retired."""
        for key in keys:
            self._segments.pop(key, None)
