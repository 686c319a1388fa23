"""The nodes of a grid as legacy clients."""

import random
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from logging import ERROR
from typing import Any

from flwr.app import DEFAULT_TTL, ConfigRecord, Message, MessageType, RecordDict
from flwr.app.messagetype import MessageTypeLegacy
from flwr.compat import bridge
from flwr.compat.clients.client_manager import SimpleClientManager, log_too_few
from flwr.compat.clients.client_proxy import ClientProxy
from flwr.compat.clients.criterion import Criterion
from flwr.compat.typing import (
    DisconnectRes,
    EvaluateIns,
    EvaluateRes,
    FitIns,
    FitRes,
    GetParametersIns,
    GetParametersRes,
    GetPropertiesIns,
    GetPropertiesRes,
    ReconnectIns,
)
from flwr.errors import NotEnoughNodesError
from flwr.log import log
from flwr.serverapp.grid import Grid

_A_DAY = 86_400  # seconds
_FAREWELL = 5.0  # seconds; who does not hear it in time goes on looking for the server
_SOON = 0.01  # seconds
_LOOK_AGAIN = 1.0  # seconds; for grids that cannot wait for nodes
RECONNECT = "reconnect"  # the type of the message that lets a client go


def reconnect_content(ins: ReconnectIns) -> RecordDict:
    """Return the content of the message that lets a client go."""
    seconds = {} if ins.seconds is None else {"seconds": ins.seconds}
    return RecordDict({"reconnectins.config": ConfigRecord(seconds)})


def reconnect_seconds(content: RecordDict) -> int | None:
    """Return after how many seconds a client should come back; None: not at all."""
    seconds = content.config_records["reconnectins.config"].get("seconds")
    return None if seconds is None else int(seconds)  # type: ignore[arg-type]  # written above


def lets_clients_go(grid: Grid) -> bool:
    """Whether the nodes of a grid end with its run: they are clients that were started for it."""
    return bool(getattr(grid, "lets_clients_go", False))


class GridClientProxy(ClientProxy):
    """One node of a grid.

    Parameters
    ----------
    node_id : int
        The node; its ``cid`` is the same number as a text.
    grid : Grid
        The way to it.
    """

    def __init__(self, node_id: int, grid: Grid) -> None:
        super().__init__(str(node_id))
        self.node_id = node_id
        self.grid = grid

    @property
    def run_id(self) -> int:
        """The run that the grid works for."""
        return int(self.grid.run.run_id)

    def get_properties(
        self, ins: GetPropertiesIns, timeout: float | None, group_id: int | None
    ) -> GetPropertiesRes:
        """Return the client's properties."""
        content = bridge.getpropertiesins_to_recorddict(ins)
        kind = MessageTypeLegacy.GET_PROPERTIES
        reply = _content(self._ask(content, kind, timeout, group_id))
        return bridge.recorddict_to_getpropertiesres(reply)

    def get_parameters(
        self, ins: GetParametersIns, timeout: float | None, group_id: int | None
    ) -> GetParametersRes:
        """Return the client's parameters."""
        content = bridge.getparametersins_to_recorddict(ins)
        kind = MessageTypeLegacy.GET_PARAMETERS
        reply = _content(self._ask(content, kind, timeout, group_id))
        return bridge.recorddict_to_getparametersres(reply, keep_input=True)

    def fit(self, ins: FitIns, timeout: float | None, group_id: int | None) -> FitRes:
        """Let the client train."""
        content = bridge.fitins_to_recorddict(ins, keep_input=True)
        reply = _content(self._ask(content, MessageType.TRAIN, timeout, group_id))
        return bridge.recorddict_to_fitres(reply, keep_input=True)

    def evaluate(
        self, ins: EvaluateIns, timeout: float | None, group_id: int | None
    ) -> EvaluateRes:
        """Let the client evaluate."""
        content = bridge.evaluateins_to_recorddict(ins, keep_input=True)
        reply = _content(self._ask(content, MessageType.EVALUATE, timeout, group_id))
        return bridge.recorddict_to_evaluateres(reply)

    def reconnect(
        self, ins: ReconnectIns, timeout: float | None, group_id: int | None
    ) -> DisconnectRes:
        """Let the client disconnect, and wait until it has; a SuperNode stays connected."""
        if lets_clients_go(self.grid):
            within = _FAREWELL if timeout is None else min(timeout, _FAREWELL)
            deadline = time.monotonic() + within
            self._ask(reconnect_content(ins), RECONNECT, within, group_id)
            pause = threading.Event()
            while self.node_id in self.grid.get_node_ids() and time.monotonic() < deadline:
                pause.wait(_SOON)  # its goodbye follows its reply
        return DisconnectRes("")

    @cached_property
    def fit_batch(self) -> "GridBatch":
        """Asks many nodes of the same grid to train."""
        return GridBatch(
            self.grid, MessageType.TRAIN, bridge.fitins_to_recorddict, bridge.recorddict_to_fitres
        )

    @cached_property
    def evaluate_batch(self) -> "GridBatch":
        """Asks many nodes of the same grid to evaluate."""
        return GridBatch(
            self.grid,
            MessageType.EVALUATE,
            bridge.evaluateins_to_recorddict,
            lambda content, keep_input: bridge.recorddict_to_evaluateres(content),
        )

    def _ask(
        self, content: RecordDict, kind: str, timeout: float | None, group_id: int | None
    ) -> Message:
        message = _message(content, self.node_id, kind, timeout, group_id)
        replies = list(self.grid.send_and_receive([message], timeout=timeout))
        if not replies:
            raise _late(self.node_id, timeout)
        return replies[0]


class GridBatch:
    """Asks nodes of one grid, all at once. Equal for equal grids and kinds.

    Parameters
    ----------
    grid : Grid
        The way to the nodes.
    kind : str
        The type of the messages.
    encode, decode : Callable
        From instructions to records, and from records to results.
    """

    def __init__(
        self,
        grid: Grid,
        kind: str,
        encode: Callable[[Any, bool], RecordDict],
        decode: Callable[[RecordDict, bool], Any],
    ) -> None:
        self._key = (id(grid), kind)
        self._grid, self._kind = grid, kind
        self._encode, self._decode = encode, decode

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GridBatch) and other._key == self._key

    def __hash__(self) -> int:
        return hash(self._key)

    def __call__(
        self, instructions: Sequence[tuple[ClientProxy, Any]], timeout: float | None, group_id: int
    ) -> list[Any]:
        """Return each client's result, or the exception in its place, in order."""
        contents: dict[int, RecordDict] = {}  # instructions that are one object are sent once
        messages = []
        for client, ins in instructions:
            content = contents.get(id(ins))
            if content is None:
                content = contents[id(ins)] = self._encode(ins, True)
            messages.append(_message(content, client.node_id, self._kind, timeout, group_id))
        results: list[Any] = [_late(client.node_id, timeout) for client, _ in instructions]
        gather = getattr(self._grid, "gather", self._grid.send_and_receive)
        replies = list(gather(messages, timeout=timeout))
        places = {message.metadata.message_id: n for n, message in enumerate(messages)}
        for reply in replies:
            place = places[reply.metadata.reply_to_message_id]
            try:
                results[place] = self._decode(_content(reply), True)
            except Exception as error:  # an error reply, or records that are no result
                if reply.has_content():  # a node's error is told where it comes in
                    node_id = reply.metadata.src_node_id
                    log(ERROR, "The reply of node %s is no result: %r", node_id, error)
                results[place] = error
        return results


class GridClientManager(SimpleClientManager):
    """The nodes of a grid as clients; a proxy is made when a node is drawn.

    Parameters
    ----------
    grid : Grid
        The way to the nodes.
    """

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self.grid = grid
        self._unregistered: set[str] = set()

    @property
    def clients(self) -> dict[str, ClientProxy]:
        """All nodes by ``cid``, as :meth:`all` returns them."""
        return self.all()

    @clients.setter
    def clients(self, proxies: dict[str, ClientProxy]) -> None:
        self._proxies = proxies

    def __len__(self) -> int:
        """Return how many nodes are connected."""
        return len(self._ids())

    def register(self, client: ClientProxy) -> bool:
        """Count a node again that was unregistered; return False if it was not."""
        if client.cid not in self._unregistered:
            return False
        self._unregistered.remove(client.cid)
        return True

    def unregister(self, client: ClientProxy) -> None:
        """Count and draw a node no more, until it connects anew."""
        self._unregistered.add(client.cid)

    def all(self) -> dict[str, ClientProxy]:
        """Return all nodes by ``cid``."""
        return {str(node_id): self._proxy(node_id) for node_id in self._ids()}

    def wait_for(self, num_clients: int, timeout: int = _A_DAY) -> bool:
        """Wait until there are so many nodes; see `SimpleClientManager.wait_for`.

        Raises
        ------
        NotEnoughNodesError
            If there will never be so many, as in a simulation of fewer.
        """
        if len(self) >= num_clients:
            return True
        if _can_wait(self.grid) and timeout >= _A_DAY:
            _wait_nodes(self.grid, num_clients + len(self._unregistered))
            return True
        deadline = time.monotonic() + timeout
        pause = threading.Event()
        while len(self) < num_clients:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            pause.wait(min(_LOOK_AGAIN, left))
        return True

    def sample(
        self,
        num_clients: int,
        min_num_clients: int | None = None,
        criterion: Criterion | None = None,
    ) -> list[ClientProxy]:
        """Draw nodes at random; see `SimpleClientManager.sample`."""
        self.wait_for(num_clients if min_num_clients is None else min_num_clients)
        ids = self._ids()
        if criterion is not None:
            ids = [node_id for node_id in ids if criterion.select(self._proxy(node_id))]
        if num_clients > len(ids):
            log_too_few(len(ids), num_clients)
            return []
        at: Callable[[int], int] = getattr(ids, "at", None) or ids.__getitem__
        drawn = random.sample(range(len(ids)), num_clients)
        return [self._proxy(at(index)) for index in drawn]

    def _proxy(self, node_id: int) -> ClientProxy:
        proxy = self._proxies.get(str(node_id))
        if proxy is None:
            proxy = self._proxies[str(node_id)] = GridClientProxy(node_id, self.grid)
        return proxy

    def _ids(self) -> Any:
        """Return the ids in a fixed order: a grid's own lazy set, or a sorted list."""
        ids: Iterable[int] = self.grid.get_node_ids()
        if self._unregistered:
            ids = sorted(ids)
            self._unregistered.intersection_update(map(str, ids))  # who comes back is a new client
            return [node_id for node_id in ids if str(node_id) not in self._unregistered]
        return ids if hasattr(ids, "at") else sorted(ids)


class Membership:
    """Keeps a client manager of the user's in step with a grid's nodes, from a thread.

    Parameters
    ----------
    grid : Grid
        Whose nodes.
    client_manager : ClientManager
        What they are registered with.
    """

    def __init__(self, grid: Grid, client_manager: Any) -> None:
        self._grid, self._manager = grid, client_manager
        self._known: dict[int, GridClientProxy] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flwr-membership", daemon=True)

    def __enter__(self) -> "Membership":
        self._update()
        if _can_wait(self._grid) and isinstance(self._manager, SimpleClientManager):
            self._manager.await_nodes = partial(_wait_nodes, self._grid)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if isinstance(self._manager, SimpleClientManager):
            self._manager.await_nodes = None
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(_LOOK_AGAIN):  # foreign managers cannot ask, so they are told
            self._update()

    def _update(self) -> None:
        ids = set(self._grid.get_node_ids())
        for node_id in self._known.keys() - ids:
            self._manager.unregister(self._known.pop(node_id))
        for node_id in sorted(ids - self._known.keys()):
            proxy = self._known[node_id] = GridClientProxy(node_id, self._grid)
            self._manager.register(proxy)


def _can_wait(grid: Grid) -> bool:
    return getattr(grid, "wait_nodes", None) is not None


def _wait_nodes(grid: Any, count: int) -> None:
    """Wait until a grid has so many nodes; the grid says that it waits."""
    try:
        grid.wait_nodes(count)
    except NotEnoughNodesError as error:
        hint = (
            "Lower min_available_clients and min_fit_clients / min_evaluate_clients of the "
            "strategy, or simulate more clients."
        )
        raise NotEnoughNodesError(error.message, hint=hint) from None


def _message(
    content: RecordDict, node_id: int, kind: str, timeout: float | None, group_id: int | None
) -> Message:
    ttl = DEFAULT_TTL if timeout is None else timeout
    return Message(content, node_id, kind, ttl=ttl, group_id=str(group_id or ""))


def _content(reply: Message) -> RecordDict:
    if reply.has_error():
        error = reply.error
        raise ValueError(
            f"Message contains an Error (reason: {error.reason}). "
            f"Node {reply.metadata.src_node_id} sent it with code {error.code}."
        )
    return reply.content


def _late(node_id: int, timeout: float | None) -> TimeoutError:
    within = "" if timeout is None else f" within {timeout} s"
    return TimeoutError(f"Node {node_id} did not reply{within}.")
