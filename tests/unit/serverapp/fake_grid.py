"""Grids whose nodes live in memory, and short ways to write messages."""

from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from flwr.app import ArrayRecord, Error, Message, MetricRecord, RecordDict
from flwr.app.events import Event
from flwr.serverapp import Grid

Answer = Callable[[Message], RecordDict | Error]


def arrays_of(*values: object, dtype: str = "float32") -> ArrayRecord:
    """Arrays "0", "1", ... of the given values."""
    return ArrayRecord([np.asarray(value, dtype) for value in values])


def content(
    arrays: ArrayRecord | None = None, weight: float | None = 1, **metrics: object
) -> RecordDict:
    """What a good node sends back."""
    weights = {} if weight is None else {"num-examples": weight}
    records: dict[str, object] = {"metrics": MetricRecord({**weights, **metrics})}
    if arrays is not None:
        records = {"arrays": arrays, **records}
    return RecordDict(records)


def reply(node_id: int, answer: RecordDict | Error, message_type: str = "train") -> Message:
    """What a node sends back, as the grid hands it out."""
    return Message(answer, reply_to=Message(RecordDict(), node_id, message_type))


def replies(*answers: RecordDict | Error, message_type: str = "train") -> list[Message]:
    """One reply a node; the nodes are 1, 2, ..."""
    return [reply(node, answer, message_type) for node, answer in enumerate(answers, start=1)]


def echo(metrics: Mapping[str, object] | None = None, weight: float = 1) -> Answer:
    """Nodes that send back the arrays they are sent, or their metrics only when evaluating."""

    def answer(message: Message) -> RecordDict:
        arrays = message.content.get("arrays")
        training = message.metadata.message_type == "train"
        return content(arrays if training else None, weight, **(metrics or {}))

    return answer


class FakeGrid(Grid):
    """A plain grid, as a user may write one: it has none of the further abilities."""

    def __init__(self, node_ids: Iterable[int], answer: Answer | None = None) -> None:
        self.node_ids = set(node_ids)
        self.answer = answer or echo()
        self.sent: list[list[Message]] = []
        self.timeouts: list[float | None] = []

    def set_run(self, run: object) -> None: ...

    @property
    def run(self) -> None: ...

    def create_message(self, *args: object, **kwargs: object) -> Message:
        raise NotImplementedError

    def get_node_ids(self) -> Iterable[int]:
        return self.node_ids

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        raise NotImplementedError

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        raise NotImplementedError

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        self._note(messages, timeout)
        return [Message(self.answer(message), reply_to=message) for message in self.sent[-1]]

    def _note(self, messages: Iterable[Message], timeout: float | None) -> None:
        self.sent.append(list(messages))
        self.timeouts.append(timeout)


class AbleGrid(FakeGrid):
    """A grid that also streams replies and emits events."""

    def __init__(self, node_ids: Iterable[int], answer: Answer | None = None) -> None:
        super().__init__(node_ids, answer)
        self.events: list[Event] = []
        self.streamed = 0

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def stream(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterator[Message]:
        self._note(messages, timeout)
        self.streamed += 1
        return (Message(self.answer(message), reply_to=message) for message in self.sent[-1])
