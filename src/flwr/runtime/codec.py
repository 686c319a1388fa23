"""Putting contents and states on a channel, and taking them off."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from flwr.app import ArrayRecord, RecordDict, memory
from flwr.app.layout import Layout
from flwr.runtime.channel import padded
from flwr.runtime.protocol import (
    Content,
    LayoutHeader,
    Place,
    State,
    decode_records,
    decode_state,
    encode,
    encode_state,
)
from flwr.runtime.segments import Attached, Bytes, Held
from flwr.wire import records as wire_records

INLINE_LIMIT = 128 * 1024  # bytes of a record; from here on it travels in a shared segment
_NO_RECORDS = msgspec.Raw(encode([]))


class Frames:
    """The frames of one message, and where each begins in the receiver's buffer."""

    def __init__(self) -> None:
        self.parts: list[Bytes] = []
        self.nbytes = 0

    def add(self, part: Bytes) -> int:
        """Append a frame and return its offset."""
        offset = self.nbytes
        self.parts.append(part)
        self.nbytes += padded(part.nbytes)
        return offset

    def extend(self, parts: Sequence[Bytes]) -> int:
        """Append frames and return the offset of the first."""
        offset = self.nbytes
        for part in parts:
            self.add(part)
        return offset


@dataclass
class StoredState:
    """A node's state, as its worker encoded it."""

    records: bytes
    frames: Bytes


class SentLayouts:
    """Numbers layouts in the order in which a channel first carries them."""

    def __init__(self) -> None:
        self._numbers: dict[Layout, int] = {}
        self._new: list[LayoutHeader] = []

    def number(self, layout: Layout) -> int:
        """Return the layout's number; a new one is announced with the next message."""
        number = self._numbers.get(layout)
        if number is None:
            number = self._numbers[layout] = len(self._numbers)
            self._new.append(layout.header())
        return number

    def take_new(self) -> list[LayoutHeader]:
        """Return the headers that the next message must announce."""
        new, self._new = self._new, []
        return new


class ReceivedLayouts:
    """The layouts a channel has announced, by number."""

    def __init__(self) -> None:
        self._layouts: list[Layout] = []

    def add(self, headers: list[LayoutHeader]) -> None:
        """Take the announcements of one message."""
        self._layouts.extend(Layout.from_header(header) for header in headers)

    def __getitem__(self, number: int) -> Layout:
        return self._layouts[number]


def open_content(
    content: Content,
    layouts: ReceivedLayouts,
    frames: Bytes,
    attached: Attached | None = None,
    slot: dict[int, Any] | None = None,
) -> RecordDict:
    """Make the records of a content; arrays stay where they are.

    Parameters
    ----------
    content : Content
        As received.
    layouts, frames
        What came with it.
    attached : Attached, optional
        A worker's segments.
    slot : dict, optional
        The parent's segments for this reply, by key.
    """
    segments: Any = attached if attached is not None else slot

    def fetch(index: object) -> ArrayRecord:
        number, key, offset = content.arrays[index]  # type: ignore[call-overload]  # an int
        layout = layouts[number]
        if key:
            return memory.adopt(layout, Held(segments[key], layout.nbytes, offset))
        return memory.adopt(layout, frames[offset : offset + layout.nbytes])

    return wire_records.decode_records(decode_records(content.records), fetch)


def encode_content(content: RecordDict) -> tuple[msgspec.Raw, list[ArrayRecord]]:
    """Encode a content's records; arrays are named by number and returned beside."""
    arrays: list[ArrayRecord] = []

    def place(record: ArrayRecord) -> int:
        arrays.append(record)
        return len(arrays) - 1

    if not content:
        return _NO_RECORDS, arrays
    return msgspec.Raw(encode(wire_records.encode_records(content, place))), arrays


def seal_state(state: RecordDict, frames: Frames) -> State | None:
    """Encode a node's state with its arrays among the frames; an empty one is ``None``."""
    if not state:
        return None
    arrays: list[tuple[LayoutHeader, int]] = []
    own = Frames()

    def place(record: ArrayRecord) -> int:
        packed = memory.packed(record)
        arrays.append((memory.layout_of(record).header(), own.add(packed)))
        return len(arrays) - 1

    records = encode_state((wire_records.encode_records(state, place), arrays))
    return State(records, frames.extend(own.parts), own.nbytes)


def open_state(state: State | None, frames: Bytes) -> RecordDict:
    """Make the records of a state that came with ``frames``."""
    if state is None:
        return RecordDict()
    encoded, arrays = decode_state(state.records)

    def fetch(index: object) -> ArrayRecord:
        header, offset = arrays[index]  # type: ignore[call-overload]  # an int
        layout = Layout.from_header(header)
        begin = state.offset + offset
        return memory.adopt(layout, frames[begin : begin + layout.nbytes])

    return wire_records.decode_records(encoded, fetch)


__all__ = [
    "INLINE_LIMIT",
    "Frames",
    "Place",
    "ReceivedLayouts",
    "SentLayouts",
    "StoredState",
    "encode_content",
    "open_content",
    "open_state",
    "seal_state",
]
