"""How a ServerApp reaches the nodes: the ``Grid``, and what some grids can do beyond it."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, runtime_checkable

from flwr.app import Message, RecordDict
from flwr.app.events import Event
from flwr.log import warn_deprecated_feature


class Grid(ABC):
    """Sends messages to nodes and brings their replies.

    A grid may have further abilities: :class:`StreamsReplies`, :class:`EmitsEvents`,
    :class:`WaitsForNodes`, :class:`SavesCheckpoints`, :class:`GathersReplies`. Strategies look
    them up and do without where they are missing.
    """

    @abstractmethod
    def set_run(self, run: Any) -> None:  # the run's record belongs to a room above this one
        """Say which run this grid works for. Called by the framework."""

    @property
    @abstractmethod
    def run(self) -> Any:  # as above
        """The record of the run: ``run_id``, ``fab_id``, ``status`` and more."""

    @abstractmethod
    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        """Make a message. Deprecated: use ``Message(content, dst_node_id, message_type)``."""
        _say_deprecated()
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    @abstractmethod
    def get_node_ids(self) -> Iterable[int]:
        """Return the ids of the nodes that are connected now, as a set."""

    def get_nodes(self) -> Iterable["NodeInfo"]:
        """Return what is known of the nodes that are connected now: here, their ids."""
        return (NodeInfo(node_id) for node_id in self.get_node_ids())

    @abstractmethod
    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send messages and return their ids in the same order, without waiting for replies."""

    @abstractmethod
    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies to the given ids that are there; each reply is given once."""

    @abstractmethod
    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Send messages and wait for their replies.

        Parameters
        ----------
        messages : Iterable[Message]
            The instructions; none gives no replies at once.
        timeout : float, optional
            Seconds to wait; by default as long as the messages live. When it is over, the
            replies so far are returned.

        Returns
        -------
        Iterable[Message]
            One reply or error reply a message, less those that did not come in time.
        """


@dataclass(frozen=True)
class NodeInfo:
    """What a ServerApp may know of a node."""

    node_id: int


class StreamsReplies(Protocol):
    """A grid that hands out replies one by one, while others are still on their way."""

    def stream(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterator[Message]:
        """Yield the replies in the order of ``messages``, whatever their arrival.

        The memory of a reply may be used again as soon as the caller has dropped it.
        """
        ...


class GathersReplies(Protocol):
    """A grid that can be told that replies will be held together, and where to keep them then."""

    def gather(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Do what ``send_and_receive`` does, for a caller that needs all replies at once.

        They are kept where they are quickest to read, as far as there is room.
        """
        ...


class EmitsEvents(Protocol):
    """A grid that passes events to whoever listens to the run; ``emit`` may be ``None``."""

    def emit(self, event: Event) -> None:
        """Pass on one event."""
        ...


class WaitsForNodes(Protocol):
    """A grid that knows when nodes connect, and whether they ever will."""

    def wait_nodes(self, count: int) -> None:
        """Return when ``count`` nodes are connected.

        Raises
        ------
        NotEnoughNodesError
            At once, if there will never be so many.
        """
        ...


@runtime_checkable
class SavesCheckpoints(Protocol):
    """A grid whose run goes on when its ServerApp dies and is started again.

    A scope is a part of the run that finds its place by itself: ``main`` is scope 0, the k-th
    scope that it opens is k. Strategies open one for their rounds.
    """

    def open_scope(self) -> Mapping[str, Any] | None:
        """Begin the next scope; return the state that was saved in it last, if there is one.

        Then ``context.state`` and the generators of ``random``, ``numpy.random`` and, if it was
        loaded, PyTorch are set to what they were at that moment, too.
        """
        ...

    def checkpoint(self, state: Mapping[str, Any]) -> None:
        """Save a state in the current scope, and the context and the generators with it.

        Replies that were given in this scope are not given again once it is saved.

        Parameters
        ----------
        state : mapping
            Numbers, texts, lists and dicts of them, ndarrays and records.
        """
        ...

    def close_scope(self) -> None:
        """Go back to the scope around."""
        ...


class IndexedNodes(Protocol):
    """Node ids to draw from without listing them; some grids' ``get_node_ids`` gives such."""

    def __len__(self) -> int:
        """Return how many nodes are connected."""
        ...

    def at(self, index: int) -> int:
        """Return the id of the node with the given index, from 0 to the length less 1."""
        ...


@cache  # once in a process: it is called for each node and round
def _say_deprecated() -> None:
    warn_deprecated_feature(
        "`Grid.create_message`: use `Message(content, dst_node_id, message_type)`."
    )
