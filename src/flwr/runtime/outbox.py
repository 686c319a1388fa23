"""Sending: contents are sealed, hashed and uploaded once, however many messages share them."""

import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from flwr.app import Message, Metadata, RecordDict
from flwr.errors import RefusedError
from flwr.runtime import bodies
from flwr.transport import appio
from flwr.transport.call import Refusal
from flwr.transport.client import Link
from flwr.transport.parts import Body, Part
from flwr.wire.content import seal_content
from flwr.wire.frames import address_of, owner_of, written
from flwr.wire.records import encode_metadata

CALL_BYTES = 16 << 20  # of inline parts and metadata in one call
_TRIES = 3  # an object may go between its upload and the call that refers to it


class ObjectIds:
    """Hashes of memory that cannot change, remembered for as long as it lives."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[weakref.ref[Any], dict[tuple[int, int], str]]] = {}
        self._lock = threading.Lock()

    def of(self, data: memoryview) -> str:
        """Return the object id of some bytes."""
        owner = owner_of(data)
        if not isinstance(owner, np.ndarray) or owner.flags.writeable:
            return bodies.hash_of(data)
        alive = weakref.ref(owner, self._forget(id(owner)))
        with self._lock:
            _, hashes = self._known.setdefault(id(owner), (alive, {}))
        place = (address_of(data), data.nbytes)
        if place not in hashes:
            hashes[place] = bodies.hash_of(data)
        return hashes[place]

    def _forget(self, number: int) -> Any:
        known = weakref.ref(self)

        def forget(_: object) -> None:
            ids = known()
            if ids is not None:
                ids._known.pop(number, None)

        return forget


class Outbox:
    """Sends contents over a link.

    Parameters
    ----------
    link : Link
        To the hub.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._ids = ObjectIds()

    def body_of(self, content: RecordDict) -> Body:
        """Upload a content's objects, and return its body."""
        return self._bodies([content])[0]

    def push(
        self, messages: Sequence[Message], scope: int, collect: appio.Collect | None
    ) -> Iterator[appio.Pushed]:
        """Send messages, in as many calls as they need.

        Parameters
        ----------
        messages : sequence of Message
            Stamped.
        scope : int
            In which they are sent.
        collect : Collect, optional
            Wait for replies with the last call.
        """
        contents = {id(message.content): message.content for message in messages}
        for attempt in range(1, _TRIES + 1):
            made = dict(zip(contents, self._bodies(contents.values()), strict=True))
            calls = list(_calls(messages, scope, made))
            try:
                for number, call in enumerate(calls, 1):
                    yield self._push(call, collect if number == len(calls) else None)
            except RefusedError as error:
                if error.code != Refusal.UNKNOWN_OBJECT or attempt == _TRIES:
                    raise
            else:
                return

    def _push(self, call: appio.Push, collect: appio.Collect | None) -> appio.Pushed:
        if collect is None:
            return self._link.call(appio.PUSH, call)
        call = appio.Push(call.messages, call.bodies, collect)
        return self._link.call(appio.PUSH, call, wait=collect.wait)

    def _bodies(self, contents: Iterable[RecordDict]) -> list[Body]:
        """Upload what the contents hold, each object once."""
        uploaded: set[str] = set()

        def keep(object_id: str, data: memoryview) -> None:
            if object_id not in uploaded:
                self._link.upload(object_id, data)
                uploaded.add(object_id)

        return [bodies.pack(seal_content(each), keep, self._ids.of) for each in contents]


def _calls(messages: Sequence[Message], scope: int, made: dict[int, Body]) -> Iterator[appio.Push]:
    """Cut messages into calls of a bounded size; those that share a body stay together."""
    rows: list[appio.Message] = []
    own: dict[int, int] = {}  # contents to indexes of bodies
    nbytes = 0
    for message in messages:
        key = id(message.content)
        row = _row(message, own.get(key, len(own)), scope)
        size = len(row.meta) + 256
        if key not in own:
            size += sum(_inline(part) for part in made[key].parts)
        if rows and nbytes + size > CALL_BYTES:
            yield appio.Push(rows, [made[each] for each in own])
            rows, own, nbytes = [], {}, 0
            row = _row(message, 0, scope)
            size = len(row.meta) + 256 + sum(_inline(part) for part in made[key].parts)
        own.setdefault(key, len(own))
        rows.append(row)
        nbytes += size
    if rows:
        yield appio.Push(rows, [made[each] for each in own])


def _row(message: Message, body: int, scope: int) -> appio.Message:
    metadata: Metadata = message.metadata
    return appio.Message(
        message_id=metadata.message_id,
        node_id=metadata.dst_node_id,
        message_type=metadata.message_type,
        group_id=metadata.group_id,
        ttl=float(metadata.ttl),
        meta=written(encode_metadata(metadata)),
        body=body,
        scope=scope,
    )


def _inline(part: Part) -> int:
    return len(part.data) + len(part.object_id)
