"""One push of messages and what comes of it: replies, failures, and the event that tells."""

import logging
import time
from collections.abc import Sequence

from flwr.app import Error, Message, Metadata, RecordDict
from flwr.app.events import Exchange, NodeOutcome
from flwr.log import log
from flwr.runtime.runinfo import SUPERLINK_NODE_ID
from flwr.runtime.scopes import Scope

_MOST_TRACEBACKS = 3  # of one exchange in the log; the rest are counted
_MOST_REASONS = 50  # of one exchange that its event tells in full


class PushedMessages:
    """The messages of one push.

    Parameters
    ----------
    instructions : sequence of Metadata
        Of the messages, as they were then.
    scope : Scope
        In which they were sent.
    """

    def __init__(self, instructions: Sequence[Metadata], scope: Scope) -> None:
        self.instructions = instructions
        self.ids = [each.message_id for each in instructions]
        self.scope = scope
        self.refused: dict[str, Error] = {}
        self.taken: set[str] = set()
        self._outcomes: list[NodeOutcome] = []
        self._failures = 0
        self._began = time.monotonic()

    @property
    def untaken(self) -> list[str]:
        """The messages whose replies have not been given."""
        return [each for each in self.ids if each not in self.taken]

    def note(self, index: int, reply: Message, seconds: float) -> None:
        """Note that a reply is given to the caller; log it if it is an error."""
        instruction = self.instructions[index]
        self.taken.add(instruction.message_id)
        self.scope.done.append(instruction.message_id)
        reason = None
        if reply.has_error():
            reason = reply.error.reason or f"error {reply.error.code}"
            self._failures += 1
            if self._failures <= _MOST_TRACEBACKS:
                node_id, kind = instruction.dst_node_id, instruction.message_type
                log(logging.ERROR, "Node %s failed at %s: %s", node_id, kind, reason)
            if self._failures > _MOST_REASONS:
                reason = reason.partition("\n")[0]
        self._outcomes.append(NodeOutcome(instruction.dst_node_id, seconds, reason))

    def told(self) -> Exchange | None:
        """Return the event of the whole, and log how many failures were left out."""
        if self._failures > _MOST_TRACEBACKS:
            log(
                logging.ERROR,
                "%d more nodes failed; their errors are in the run's events.",
                self._failures - _MOST_TRACEBACKS,
            )
        if not self.instructions:
            return None
        first, seconds = self.instructions[0], time.monotonic() - self._began
        return Exchange(first.message_type, first.group_id, seconds, self._outcomes)


def answered(instruction: Metadata, answer: Message | Error) -> Message:
    """Return a reply as the sender of an instruction gets it, whatever it says of itself."""
    if isinstance(answer, Error):
        asked = Message(metadata=instruction.snapshot(), content=RecordDict())
        answer = Message(answer, reply_to=asked)
    metadata = answer.metadata
    metadata.stamp(
        run_id=instruction.run_id,
        src_node_id=instruction.dst_node_id,
        message_id=metadata.message_id,
        reply_to_message_id=instruction.message_id,
    )
    metadata.dst_node_id = SUPERLINK_NODE_ID
    return answer
