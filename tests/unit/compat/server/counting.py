"""Clients that count, asked directly or over a grid, and a grid that saves."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from flwr.app import Context, Error, Message, MessageType, RecordDict
from flwr.app.events import Event
from flwr.client import NumPyClient
from flwr.clientapp import ClientApp
from flwr.common import (
    Code,
    DisconnectRes,
    EvaluateRes,
    FitRes,
    GetParametersRes,
    GetPropertiesRes,
    Status,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
)
from flwr.runtime.checkpoints import decode_state, encode_state
from flwr.server import SimpleClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.serverapp import Grid

OK = Status(Code.OK, "Success")


class DirectClient(ClientProxy):
    """A client of the user's own making: adds one, and measures the first number."""

    def __init__(self, cid: str, fails: Exception | Status | None = None) -> None:
        super().__init__(cid)
        self.fails = fails
        self.asked: list[tuple[str, Any, Any]] = []

    def get_properties(self, ins: Any, timeout: Any, group_id: Any) -> GetPropertiesRes:
        return GetPropertiesRes(OK, {"cid": self.cid})

    def get_parameters(self, ins: Any, timeout: Any, group_id: Any) -> GetParametersRes:
        self.asked.append(("get_parameters", timeout, group_id))
        return GetParametersRes(self._status(), ndarrays_to_parameters([np.zeros(2)]))

    def fit(self, ins: Any, timeout: Any, group_id: Any) -> FitRes:
        self.asked.append(("fit", timeout, group_id))
        arrays = [array + 1 for array in parameters_to_ndarrays(ins.parameters)]
        return FitRes(self._status(), ndarrays_to_parameters(arrays), 1, {"seen": 1})

    def evaluate(self, ins: Any, timeout: Any, group_id: Any) -> EvaluateRes:
        self.asked.append(("evaluate", timeout, group_id))
        loss = float(parameters_to_ndarrays(ins.parameters)[0][0])
        return EvaluateRes(self._status(), loss, 1, {"seen": 1})

    def reconnect(self, ins: Any, timeout: Any, group_id: Any) -> DisconnectRes:
        self.asked.append(("reconnect", timeout, group_id))
        self._status()
        return DisconnectRes("")

    def _status(self) -> Status:
        if isinstance(self.fails, Exception):
            raise self.fails
        return self.fails or OK


def managing(*clients: ClientProxy) -> SimpleClientManager:
    """A manager that knows these clients."""
    manager = SimpleClientManager()
    for client in clients:
        manager.register(client)
    return manager


class Counting(NumPyClient):
    """The same as a NumPyClient."""

    def get_parameters(self, config: Any) -> Any:
        return [np.zeros(2)]

    def fit(self, parameters: Any, config: Any) -> Any:
        return [array + 1 for array in parameters], 1, {"seen": 1}

    def evaluate(self, parameters: Any, config: Any) -> Any:
        return float(parameters[0][0]), 1, {"seen": 1}


class GridHere(Grid):
    """Asks a ClientApp in this process, and keeps what it is told.

    Attributes
    ----------
    nodes : list of int
        The nodes that are connected.
    broken : dict
        Nodes that answer with an error; those that give no answer at all have None.
    calls : list of int
        How many messages each call had.
    """

    def __init__(self, nodes: Iterable[int], app: ClientApp | None = None) -> None:
        self.nodes = list(nodes)
        self.app = app or ClientApp(client_fn=lambda context: Counting().to_client())
        self.broken: dict[int, str | None] = {}
        self.calls: list[int] = []
        self.messages: list[Message] = []
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def get_node_ids(self) -> set[int]:
        return set(self.nodes)

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        given = list(messages)
        self.calls.append(len(given))
        replies = []
        for number, message in enumerate(given):
            message.metadata.stamp(
                run_id=1, src_node_id=1, message_id=f"{len(self.calls)}.{number}"
            )
            self.messages.append(message)
            reply = self._answer(message)
            if reply is not None:
                replies.append(reply)
        return replies[::-1]  # whoever is ready first

    def _answer(self, message: Message) -> Message | None:
        node_id = message.metadata.dst_node_id
        if node_id in self.broken:
            reason = self.broken[node_id]
            return None if reason is None else Message(Error(2, reason), reply_to=message)
        context = Context(1, node_id, {"partition-id": node_id}, RecordDict(), {})
        return self.app(message, context)

    # what the legacy loop does not use

    @property
    def run(self) -> Any:
        raise NotImplementedError

    def set_run(self, *_: Any) -> None: ...
    def create_message(self, *_: Any, **__: Any) -> Any: ...
    def push_messages(self, messages: Any) -> Any: ...
    def pull_messages(self, message_ids: Any) -> Any: ...


class SavingGrid(GridHere):
    """Keeps checkpoints as a deployment does: as contents.

    Attributes
    ----------
    saved : list of dict
        The states, the newest last.
    open : int
        How many scopes are open.
    on_checkpoint : callable
        Called with the number of a checkpoint when it is saved.
    """

    def __init__(self, nodes: Iterable[int], saved: Iterable[Any] = ()) -> None:
        super().__init__(nodes)
        self.saved = list(saved)
        self.open = 0
        self.on_checkpoint: Callable[[int], None] = lambda number: None

    def open_scope(self) -> Mapping[str, Any] | None:
        self.open += 1
        return decode_state(self.saved[-1]) if self.saved else None

    def checkpoint(self, state: Mapping[str, Any]) -> None:
        self.saved.append(encode_state(state))
        self.on_checkpoint(len(self.saved))

    def close_scope(self) -> None:
        self.open -= 1


TRAIN, EVALUATE = MessageType.TRAIN, MessageType.EVALUATE
