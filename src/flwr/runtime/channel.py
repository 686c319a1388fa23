"""One socket between two processes: messages with frames of bytes and descriptors.

On the wire: header size, number of descriptors, frame bytes; the header (msgpack); the frames.
Descriptors travel beside the first byte. Large frames are received straight into their place.
"""

import array
import os
import socket
import struct
from collections import deque
from collections.abc import Iterator, Sequence

import numpy as np

from flwr.runtime.segments import Bytes

ALIGNMENT = 64
_PREFIX = struct.Struct("<IIQ")
_ROOM = 1 << 16
MOST_FDS = 64  # descriptors of one message
_MOST_PARTS = 512
_ANCILLARY = MOST_FDS * array.array("i").itemsize + 64  # their size and a header's
_ZEROS = bytes(ALIGNMENT)
_DONTWAIT = int(getattr(socket, "MSG_DONTWAIT", 0))  # plain ints: enum flags are slow
_CLOEXEC = int(getattr(socket, "MSG_CMSG_CLOEXEC", 0))
_NOTHING: Bytes = np.empty(0, np.uint8)


class Received:
    """One message as it arrived: header bytes, frames in one buffer, descriptors."""

    __slots__ = ("fds", "frames", "header")

    def __init__(self, header: bytes, frames: Bytes, fds: list[int]) -> None:
        self.header = header
        self.frames = frames
        self.fds = fds


def padded(nbytes: int) -> int:
    """Round a frame's size up so that the next frame starts aligned."""
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


class Channel:
    """Send and receive messages over a connected stream socket.

    Parameters
    ----------
    sock : socket.socket
        A Unix stream socket; the channel owns it.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._room = bytearray(_ROOM)
        self._start = self._end = 0
        self._fds: deque[int] = deque()
        self._pending: tuple[bytes, int, Bytes, int] | None = None  # header, fds, frames, filled

    def fileno(self) -> int:
        """Return the socket's descriptor, for selectors."""
        return self.sock.fileno()

    def close(self) -> None:
        """Close the socket and descriptors that nobody took."""
        self.sock.close()
        while self._fds:
            os.close(self._fds.popleft())

    # -- sending

    def send(self, header: bytes, frames: Sequence[Bytes] = (), fds: Sequence[int] = ()) -> None:
        """Send one message; blocks until the peer has room for it.

        Parameters
        ----------
        header : bytes
            The encoded message.
        frames : sequence of uint8 arrays
            Sent behind it without a copy, each padded to 64 bytes.
        fds : sequence of int
            Descriptors that the peer gets copies of, ``MOST_FDS`` at most.
        """
        assert len(fds) <= MOST_FDS
        parts: list[memoryview | bytes] = []
        total = 0
        for frame in frames:
            parts.append(frame.data)
            gap = padded(frame.nbytes) - frame.nbytes
            if gap:
                parts.append(_ZEROS[:gap])
            total += frame.nbytes + gap
        head = _PREFIX.pack(len(header), len(fds), total) + header
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        sent = self.sock.sendmsg([head, *parts[:_MOST_PARTS]], ancillary)
        if sent < len(head) + total:
            self._send_rest([memoryview(part) for part in (head, *parts)], sent)

    def _send_rest(self, parts: list[memoryview], sent: int) -> None:
        index = 0
        while True:
            while index < len(parts) and sent >= parts[index].nbytes:
                sent -= parts[index].nbytes
                index += 1
            if index == len(parts):
                return
            parts[index] = parts[index][sent:]
            sent = self.sock.sendmsg(parts[index : index + _MOST_PARTS])

    # -- receiving

    def receive(self) -> Received:
        """Return the next message; blocks until it is there.

        Raises
        ------
        EOFError
            If the peer has closed its end.
        """
        while (message := self._take()) is None:
            self._fill(_CLOEXEC)
        return message

    def arrived(self) -> Iterator[Received]:
        """Yield the messages that are there, and do not wait for more.

        Raises
        ------
        EOFError
            If the peer has closed its end.
        """
        while self._fill(_CLOEXEC | _DONTWAIT):
            while (message := self._take()) is not None:
                yield message
            if self._pending is None and self._start == self._end:
                return  # a selector tells when there is more; asking again would cost a call

    def _take(self) -> Received | None:
        """Return a message if all of it has been read."""
        if self._pending is None and not self._begin():
            return None
        assert self._pending is not None
        header, fd_count, frames, filled = self._pending
        if filled < frames.nbytes or len(self._fds) < fd_count:
            return None
        self._pending = None
        return Received(header, frames, [self._fds.popleft() for _ in range(fd_count)])

    def _begin(self) -> bool:
        """Read the prefix and header from what is buffered, and what is there of the frames."""
        have = self._end - self._start
        if have < _PREFIX.size:
            return False
        size, fd_count, frame_bytes = _PREFIX.unpack_from(self._room, self._start)
        needed = _PREFIX.size + size
        if have < needed:
            if needed > len(self._room):
                grown = bytearray(2 * needed)
                grown[:have] = self._room[self._start : self._end]
                self._room, self._start, self._end = grown, 0, have
            return False
        begin = self._start + _PREFIX.size
        header = bytes(memoryview(self._room)[begin : begin + size])
        self._start += needed
        frames = np.empty(frame_bytes, np.uint8) if frame_bytes else _NOTHING
        there = min(frame_bytes, self._end - self._start)
        if there:
            frames.data[:there] = memoryview(self._room)[self._start : self._start + there]
            self._start += there
        self._pending = (header, fd_count, frames, there)
        return True

    def _fill(self, flags: int) -> bool:
        """Read more, into the frames if they are next; ``False`` says nothing is there."""
        target = self._target()
        try:
            count, ancillary, _, _ = self.sock.recvmsg_into([target], _ANCILLARY, flags)
        except BlockingIOError:
            return False
        except ConnectionResetError as error:
            raise EOFError("the peer closed the channel") from error
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array.array("i")
                fds.frombytes(data[: len(data) - len(data) % fds.itemsize])
                self._fds.extend(fds)
        if count == 0:
            raise EOFError("the peer closed the channel")
        if self._pending is not None:
            header, fd_count, frames, filled = self._pending
            if filled < frames.nbytes:
                self._pending = (header, fd_count, frames, filled + count)
                return True
        self._end += count
        return True

    def _target(self) -> memoryview:
        if self._pending is not None:
            _, _, frames, filled = self._pending
            if filled < frames.nbytes:
                return frames.data[filled:]
        if self._start == self._end:
            self._start = self._end = 0
        elif self._end == len(self._room):
            have = self._end - self._start
            if self._start:
                self._room[:have] = self._room[self._start : self._end]
            else:
                self._room.extend(bytes(len(self._room)))
            self._start, self._end = 0, have
        return memoryview(self._room)[self._end :]
