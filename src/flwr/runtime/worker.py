"""A worker: takes batches from its channel, runs the ClientApp, leaves replies.

Large reply arrays are written where they are made: a record's one copy goes straight into the
segment ("slot") that the run's process handed out with the message.
"""

import ctypes
import faulthandler
import gc
import os
import signal
import sys
import time
from collections import deque
from typing import Any

import numpy as np

from flwr.app import ArrayRecord, Context, Error, Message, RecordDict, memory
from flwr.app.error import ErrorCode
from flwr.runtime import protocol
from flwr.runtime.channel import Channel, Received
from flwr.runtime.codec import (
    INLINE_LIMIT,
    Frames,
    ReceivedLayouts,
    SentLayouts,
    encode_content,
    open_content,
    open_state,
    seal_state,
)
from flwr.runtime.handler import (
    App,
    as_text,
    describe,
    handle,
    seed_random_generators,
)
from flwr.runtime.protocol import (
    Announced,
    Announcement,
    Batch,
    Content,
    Grant,
    Item,
    Need,
    Result,
    Results,
    Setup,
    State,
)
from flwr.runtime.segments import Attached, Bytes, Segment
from flwr.wire import records as wire_records

_FLUSH_AFTER = 0.002  # seconds that a finished result may wait for others of its batch
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_PR_SET_PDEATHSIG = 1


class Slot:
    """Hands out the memory of one segment to the records of one reply."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.root = segment.open(writable=True)
        self.used = 0
        self._address = self.root.ctypes.data

    def allocate(self, nbytes: int) -> Bytes:
        """Return memory for a record: of the slot for a large one that fits."""
        if nbytes < INLINE_LIMIT or self.used + nbytes > self.root.nbytes:
            return np.empty(nbytes, np.uint8)
        part = self.root[self.used : self.used + nbytes]
        self.used += -(-nbytes // 64) * 64
        return part

    def offset_of(self, packed: Bytes) -> int | None:
        """Return where in the slot a record's memory lies, if it does."""
        offset = int(packed.ctypes.data) - self._address
        return offset if 0 <= offset < self.root.nbytes else None

    def put(self, packed: Bytes) -> int:
        """Copy a record's memory into the slot and return where it lies."""
        offset = self.used
        self.root[offset : offset + packed.nbytes] = packed
        self.used += -(-packed.nbytes // 64) * 64
        return offset


class Worker:
    """The loop of one worker process.

    Parameters
    ----------
    channel : Channel
        To the run's process.
    app : callable
        The ClientApp.
    status : uint64 array, optional
        Shared with the run's process: the number of the item being handled, plus one.
    """

    def __init__(self, channel: Channel, app: App, status: Any) -> None:
        self._channel = channel
        self._app = app
        self._status = status
        self._setup = Setup(0, {})
        self._attached = Attached()
        self._received_layouts = ReceivedLayouts()
        self._sent_layouts = SentLayouts()
        self._inbox: deque[Received] = deque()
        self._results: list[Result] = []
        self._frames = Frames()
        self._kept: list[int] = []

    def run(self) -> None:
        """Work until the run's process closes the channel."""
        while True:
            try:
                received = self._inbox.popleft() if self._inbox else self._channel.receive()
                message = protocol.decode_to_worker(received.header)
                if isinstance(message, Setup):
                    self._setup = message
                elif isinstance(message, Announcement):
                    self._attach(message.segments, received)
                elif isinstance(message, Batch):
                    self._run_batch(message, received)
            except (EOFError, BrokenPipeError, ConnectionResetError):
                return

    def _run_batch(self, batch: Batch, received: Received) -> None:
        self._received_layouts.add(batch.layouts)
        self._attach(batch.segments, received)
        self._attached.drop(batch.retired)
        flushed = time.monotonic()
        for item in batch.items:
            self._status[0] = item.seq + 1
            self._run_item(item, batch.contents[item.content], received.frames)
            self._status[0] = 0
            if time.monotonic() - flushed > _FLUSH_AFTER:
                self._flush()
                flushed = time.monotonic()
        self._flush()

    def _attach(self, segments: list[Announced], received: Received) -> None:
        for announced, fd in zip(segments, received.fds, strict=True):
            self._attached.add(announced.key, fd, announced.nbytes)

    def _flush(self) -> None:
        if self._results:
            results = Results(self._results, self._sent_layouts.take_new(), self._kept)
            self._channel.send(protocol.encode(results), self._frames.parts)
            self._results, self._frames, self._kept = [], Frames(), []

    def _run_item(self, item: Item, content: Content, frames: Bytes) -> None:
        slot = Slot(self._attached[item.slot]) if item.slot else None
        began = time.perf_counter()
        result = self._handle(item, content, frames, slot)
        result.seconds = time.perf_counter() - began
        slot_segment = slot.segment if slot else None
        del slot
        result.slot_kept = slot_segment is not None and _kept(slot_segment)
        self._kept.extend(key for _, key, _ in content.arrays if key and _kept(self._attached[key]))
        self._results.append(result)

    def _handle(self, item: Item, content: Content, frames: Bytes, slot: Slot | None) -> Result:
        metadata = wire_records.decode_metadata(item.metadata)
        records = open_content(content, self._received_layouts, frames, self._attached)
        message = Message(metadata=metadata, content=records)
        context = Context(
            run_id=self._setup.run_id,
            node_id=item.node_id,
            node_config=item.node_config,
            state=open_state(item.state, frames),
            run_config=dict(self._setup.run_config),
        )
        seed_random_generators(item.seed)
        memory.set_allocator(slot.allocate if slot else None)
        try:
            reply = handle(self._app, message, context)
            if isinstance(reply, Error):
                return Result(item.seq, 0.0, error=(reply.code, reply.reason or ""))
            return self._pack(item, reply, context.state, frames, slot)
        except (EOFError, OSError):  # the run's process is gone
            raise
        except Exception as error:  # what was returned, or left in the state, cannot be sent
            return Result(
                item.seq, 0.0, error=(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, describe(error))
            )
        finally:
            memory.set_allocator(None)

    def _pack(
        self, item: Item, reply: Message, state: RecordDict, frames: Bytes, slot: Slot | None
    ) -> Result:
        result = Result(item.seq, 0.0, wire_records.encode_metadata(reply.metadata))
        if reply.has_error():
            result.error = (reply.error.code, as_text(reply.error.reason))
        else:
            records, arrays = encode_content(reply.content)
            result.content = Content(records, self._place(item.seq, arrays, slot))
        result.state = self._changed_state(item.state, state, frames)
        return result

    def _place(
        self, seq: int, arrays: list[ArrayRecord], slot: Slot | None
    ) -> list[protocol.Place]:
        """Say where the arrays of a reply lie: among the frames, or in its slot."""
        places: list[protocol.Place] = []
        packed = [memory.packed(record) for record in arrays]
        large = [p for p in packed if p.nbytes >= INLINE_LIMIT]
        outside = sum(
            -(-p.nbytes // 64) * 64 for p in large if slot is None or slot.offset_of(p) is None
        )
        if outside and (slot is None or slot.used + outside > slot.root.nbytes):
            slot = self._larger_slot(seq, sum(-(-p.nbytes // 64) * 64 for p in large))
        for record, memory_of_it in zip(arrays, packed, strict=True):
            number = self._sent_layouts.number(memory.layout_of(record))
            if memory_of_it.nbytes < INLINE_LIMIT:
                places.append((number, 0, self._frames.add(memory_of_it)))
                continue
            assert slot is not None
            offset = slot.offset_of(memory_of_it)
            if offset is None:
                offset = slot.put(memory_of_it)
            places.append((number, slot.segment.key, offset))
        return places

    def _larger_slot(self, seq: int, nbytes: int) -> Slot:
        """Ask the run's process for a slot of at least ``nbytes`` and wait for it."""
        self._flush()
        self._channel.send(protocol.encode(Need(seq, nbytes)))
        while True:
            received = self._channel.receive()
            message = protocol.decode_to_worker(received.header)
            if isinstance(message, Grant):
                self._attach(message.segments, received)
                return Slot(self._attached[message.slot])
            self._inbox.append(received)

    def _changed_state(
        self, before: State | None, state: RecordDict, frames: Bytes
    ) -> State | None:
        """Encode the state if the message changed it; an emptied one has no bytes."""
        own = Frames()
        after = seal_state(state, own)
        if after is None:
            return None if before is None else State(b"")
        if before is not None and before.records == after.records:
            old = frames[before.offset : before.offset + before.nbytes]
            offset = 0
            for part in own.parts:
                if not np.array_equal(old[offset : offset + part.nbytes], part):
                    break
                offset += -(-part.nbytes // 64) * 64
            else:
                return None
        # A copy: the arrays may lie in the slot, which is reused once the reply is reduced.
        after.offset = self._frames.extend([part.copy() for part in own.parts])
        return after


def _kept(segment: Segment) -> bool:
    """Whether user code still holds memory of a segment, cycles aside."""
    if not segment.in_use:
        return False
    gc.collect()
    return segment.in_use


def prepare_process() -> None:
    """Set a fresh worker process up: signals, memory, garbage collection, parent's death."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    os.setpgid(0, 0)  # so that what the user's code starts ends with it
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        keep_memory_warm(libc)
    faulthandler.enable()
    gc.freeze()


def keep_memory_warm(libc: Any) -> None:
    """Let freed model-sized memory stay with the process: page faults cost more than copies."""
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        libc.mallopt(_M_TRIM_THRESHOLD, 1 << 30)


def open_status(segment: Segment) -> Any:
    """Return the shared number of the item that a worker is handling."""
    return segment.open(0, 8, writable=True).view(np.uint64)


__all__ = ["Slot", "Worker", "keep_memory_warm", "open_status", "prepare_process"]
