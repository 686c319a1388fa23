"""Taking back: a worker's results as replies and states."""

from flwr.app import Error, Message
from flwr.runtime import protocol
from flwr.runtime.channel import Received
from flwr.runtime.codec import StoredState, open_content
from flwr.runtime.protocol import Result, Results
from flwr.runtime.schedule import Pace
from flwr.runtime.segments import Bytes, Segment
from flwr.runtime.slots import Slots
from flwr.runtime.tasks import Answer, Task
from flwr.runtime.workerprocess import WorkerProcess
from flwr.wire import records as wire_records


class TakeBack:
    """Makes replies of what workers send, and keeps the states of their nodes.

    Parameters
    ----------
    slots : Slots
        Shared memory that replies lie in.
    states : dict
        The state of each node that has one, by node id; changed.
    pace : Pace
        Told how long messages took and how large replies were.
    """

    def __init__(self, slots: Slots, states: dict[int, StoredState], pace: Pace) -> None:
        self._slots = slots
        self._states = states
        self._pace = pace

    def take(
        self, worker: WorkerProcess, results: Results, received: Received, answer: Answer
    ) -> None:
        """Answer the tasks that a worker has finished."""
        worker.received_layouts.add(results.layouts)
        by_key = {segment.key: segment for segment in self._slots.segments}
        for key in results.kept:
            if key in by_key:
                self._slots.segments.retire(by_key[key])
        for result in results.results:
            task = worker.running.pop(result.seq, None)
            if task is not None:
                reply = self._reply(worker, task, result, received.frames, by_key)
                answer(task, reply, result.seconds)
                del reply  # whether its slot is in use is up to who was given it
                worker.batches[0] -= 1
                if not worker.batches[0]:
                    worker.batches.popleft()

    def _reply(
        self,
        worker: WorkerProcess,
        task: Task,
        result: Result,
        frames: Bytes,
        by_key: dict[int, Segment],
    ) -> Message | Error:
        kind = task.metadata.message_type
        self._pace.saw(kind, result.seconds)
        reply: Message | Error
        if result.error is not None:
            reply = Error(*result.error)
            if result.metadata is not None:
                metadata = wire_records.decode_metadata(result.metadata)
                reply = Message(metadata=metadata, error=reply)
        else:
            assert result.content is not None
            assert result.metadata is not None
            content = open_content(result.content, worker.received_layouts, frames, slot=by_key)
            large = 0
            for _, key, _ in result.content.arrays:
                if key:
                    large = max(large, by_key[key].nbytes)
            self._pace.saw_reply(kind, large)
            reply = Message(metadata=wire_records.decode_metadata(result.metadata), content=content)
        self._store_state(task.node_id, result.state, frames)
        if result.slot_kept:
            for lease in task.lease:
                if lease.segment.turn == task.seq:
                    self._slots.segments.retire(lease.segment)
        return reply

    def _store_state(self, node_id: int, state: protocol.State | None, frames: Bytes) -> None:
        if state is None:
            return
        if not state.records:
            self._states.pop(node_id, None)
            return
        part = frames[state.offset : state.offset + state.nbytes].copy()
        self._states[node_id] = StoredState(state.records, part)
