"""Handing out: tasks as batches on a worker's channel."""

import contextlib

from flwr.runtime import protocol
from flwr.runtime.channel import MOST_FDS
from flwr.runtime.codec import Frames, StoredState
from flwr.runtime.protocol import Announced, Announcement, Batch, Content, Grant, Item, Need
from flwr.runtime.schedule import Pace
from flwr.runtime.segments import Segment
from flwr.runtime.slots import Slots
from flwr.runtime.tasks import Lease, Outgoing, Task
from flwr.runtime.workerprocess import WorkerProcess
from flwr.wire import records as wire_records

_ITEM_BYTES = 300


class HandOut:
    """Sends tasks to workers, with the state of their nodes and room for their replies.

    Parameters
    ----------
    slots : Slots
        Shared memory for contents and replies.
    states : dict
        The state of each node that has one, by node id.
    pace : Pace
        Says how large replies will be.
    """

    def __init__(self, slots: Slots, states: dict[int, StoredState], pace: Pace) -> None:
        self._slots = slots
        self._states = states
        self._pace = pace

    def nbytes(self, task: Task, contents: set[int]) -> int:
        """Return about how many bytes a task adds to a batch that has these contents."""
        nbytes = _ITEM_BYTES
        if id(task.content) not in contents:
            assert task.content is not None
            contents.add(id(task.content))
            nbytes += task.content.small_bytes
        stored = self._states.get(task.node_id)
        return nbytes if stored is None else nbytes + len(stored.records) + stored.frames.nbytes

    def send(self, worker: WorkerProcess, tasks: list[Task]) -> None:
        """Send a batch; contents that tasks share go once."""
        frames = Frames()
        items: list[Item] = []
        contents: list[Content] = []
        numbers: dict[int, int] = {}
        segments: list[Segment] = []
        for task in tasks:
            assert task.content is not None
            number = numbers.get(id(task.content))
            if number is None:
                number = numbers[id(task.content)] = len(contents)
                contents.append(self._place(worker, task.content, frames, segments))
            items.append(self._item(worker, task, number, frames, segments))
            worker.running[task.seq] = task
        worker.batches.append(len(tasks))
        live = {segment.key for segment in self._slots.segments}
        retired = [key for key in worker.mapped if key not in live]
        worker.mapped.difference_update(retired)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # its end is told later
            while len(segments) > MOST_FDS:
                some, segments = segments[:MOST_FDS], segments[MOST_FDS:]
                worker.channel.send(protocol.encode(Announcement(_announced(some))), fds=_fds(some))
            new = worker.sent_layouts.take_new()
            batch = Batch(items, contents, new, _announced(segments), retired)
            worker.channel.send(protocol.encode(batch), frames.parts, _fds(segments))

    def grant(self, worker: WorkerProcess, need: Need) -> None:
        """Lend a larger slot to a worker that waits for one."""
        task = worker.running[need.seq]
        self._pace.saw_need(task.metadata.message_type, need.nbytes)
        segments: list[Segment] = []
        segment = self._slots.lend(task, need.nbytes, worker.mapped)
        worker.announce(segment, segments)
        grant = Grant(segment.key, _announced(segments))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            worker.channel.send(protocol.encode(grant), fds=_fds(segments))

    def _place(
        self, worker: WorkerProcess, content: Outgoing, frames: Frames, segments: list[Segment]
    ) -> Content:
        places: list[protocol.Place] = []
        content.share(self._slots.segments)
        for arrays in content.arrays:
            number = worker.sent_layouts.number(arrays.layout)
            if not arrays.is_large:
                places.append((number, 0, frames.add(arrays.bytes())))
                continue
            held = arrays.held()
            assert held is not None
            assert held.segment is not None
            worker.announce(held.segment, segments)
            places.append((number, held.segment.key, held.offset))
        return Content(content.records, places)

    def _item(
        self,
        worker: WorkerProcess,
        task: Task,
        content: int,
        frames: Frames,
        segments: list[Segment],
    ) -> Item:
        assert task.content is not None
        for arrays in task.content.arrays:
            held = arrays.held()
            if held is not None and held.segment is not None:
                task.lease.append(Lease(held.segment))  # nothing moves while a worker reads it
        expected = self._pace.expected_bytes(task)
        slot = 0
        if expected:
            segment = self._slots.lend(task, expected, worker.mapped)
            worker.announce(segment, segments)
            slot = segment.key
        state = None
        stored = self._states.get(task.node_id)
        if stored is not None:
            offset = frames.add(stored.frames)
            state = protocol.State(stored.records, offset, stored.frames.nbytes)
        metadata = wire_records.encode_metadata(task.metadata)
        config = dict(task.node_config)
        return Item(task.seq, metadata, content, task.node_id, config, task.seed, state, slot)


def _announced(segments: list[Segment]) -> list[Announced]:
    return [Announced(segment.key, segment.nbytes) for segment in segments]


def _fds(segments: list[Segment]) -> list[int]:
    return [segment.fd for segment in segments]
