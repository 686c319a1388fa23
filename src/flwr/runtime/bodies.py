"""Contents as they travel in calls: small parts inside, large ones as objects."""

from collections.abc import Callable

import msgspec
import numpy as np
import numpy.typing as npt
from blake3 import blake3

from flwr.app import RecordDict, memory
from flwr.errors import ParcelError
from flwr.transport.parts import BODY_BYTES, INLINE_BYTES, Body, Part
from flwr.wire.content import SealedContent, frame_sizes, open_content

_encode = msgspec.msgpack.Encoder().encode

Keep = Callable[[str, memoryview], None]
Fetch = Callable[[str, memoryview], None]
Allocate = Callable[[int], npt.NDArray[np.uint8]]


def pack(
    sealed: SealedContent, keep: Keep, hashed: Callable[[memoryview], str] | None = None
) -> Body:
    """Make the body of a sealed content.

    Parameters
    ----------
    sealed : SealedContent
        The content.
    keep : callable
        Called with the id and the bytes of each object, before the body may be sent
        (``Link.upload`` is one). The same object may come twice.
    hashed : callable, optional
        Gives the object id of bytes; by default they are hashed each time.
    """
    hashed = hashed or hash_of
    parts = []
    room = BODY_BYTES
    for data in (memoryview(sealed.head), *sealed.frames):
        if data.nbytes < INLINE_BYTES and data.nbytes <= room:
            parts.append(Part(data=bytes(data)))
            room -= data.nbytes
            continue
        object_id = hashed(data)
        keep(object_id, data)
        parts.append(Part(object_id=object_id, nbytes=data.nbytes))
    return Body(parts)


def unpack(body: Body, fetch: Fetch, allocate: Allocate | None = None) -> RecordDict:
    """Open a body. The arrays of each record are received into one piece of memory of its own.

    Parameters
    ----------
    body : Body
        As received.
    fetch : callable
        Called with an object's id and the writable memory to fill with it (``Link.download`` is
        one). Whoever has it checks its hash.
    allocate : callable, optional
        Gives the memory for the arrays of a record; by default `flwr.app.memory.allocate`.

    Raises
    ------
    ParcelError
        If the parts are no content, or an object is not as long as the head says.
    """
    if not body.parts:
        raise ParcelError("The body is empty: not even a head is there.")
    head, *rest = body.parts
    opening = _whole(head, fetch)
    sizes = frame_sizes(opening)
    if sum(map(len, sizes)) != len(rest):
        raise ParcelError(f"The content has {sum(map(len, sizes))} frames, not {len(rest)}.")
    frames: list[memoryview] = []
    for record in sizes:
        memory_of_it = _allocate(sum(record), allocate).data
        at = 0
        for nbytes in record:
            part = rest[len(frames)]
            if size_of(part) != nbytes:
                raise ParcelError(f"A frame has {size_of(part)} bytes, not {nbytes}.")
            frame = memory_of_it[at : at + nbytes]
            if part.object_id:
                fetch(part.object_id, frame)
            else:
                frame[:] = part.data
            frames.append(frame)
            at += nbytes
    return open_content(opening, frames)


def hash_of(data: memoryview | bytes) -> str:
    """Return the object id of some bytes."""
    return blake3(data).hexdigest()


def body_id(body: Body) -> str:
    """Return the hash by which equal bodies are told."""
    return hash_of(_encode(body))


def size_of(part: Part) -> int:
    """Return how many bytes a part is."""
    return part.nbytes if part.object_id else len(part.data)


def nbytes_of(body: Body) -> int:
    """Return how many bytes a content is when it has been opened, less what is made of its head."""
    return sum(map(size_of, body.parts))


def _whole(part: Part, fetch: Fetch) -> bytes:
    if not part.object_id:
        return part.data
    data = _allocate(part.nbytes)
    fetch(part.object_id, data.data)
    return data.tobytes()


def _allocate(nbytes: int, allocate: Allocate | None = None) -> npt.NDArray[np.uint8]:
    try:
        return (allocate or memory.allocate)(nbytes)
    except (MemoryError, ValueError) as error:
        raise ParcelError(f"There is no memory for {nbytes} bytes of a content.") from error
