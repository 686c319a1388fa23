"""Objects over HTTP, the client's half: what has travelled never travels again."""

import http.client
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from io import BufferedReader
from pathlib import Path
from typing import Protocol

from blake3 import blake3

from flwr.errors import RefusedError
from flwr.transport.call import Refusal
from flwr.transport.lines import Bytes
from flwr.transport.retry import Broken, Outage

_SEND_BYTES = 256 * 1024  # each must leave within lines.SEND_SECONDS
_READ_BYTES = 1 << 20
_PROBE_BYTES = 1 << 20
_MOST_REFUSALS = 3  # of an offset: somebody else may send the same object


class Ask(Protocol):
    """Makes one request of a link."""

    def __call__(
        self, method: str, path: str, headers: Mapping[str, str], body: Iterable[Bytes]
    ) -> AbstractContextManager[http.client.HTTPResponse]:
        """Give the answer, whose body is read within the ``with`` block."""


def upload(ask: Ask, outage: Outage, object_id: str, data: memoryview | Path) -> None:
    """Send an object, or what is missing of it; see `Link.upload`.

    After a broken upload the next one begins with a short piece: a server that refuses in the
    middle of a long body may not be heard.
    """
    path = f"/v1/objects/{object_id}"
    size = data.stat().st_size if isinstance(data, Path) else data.nbytes
    longest, refused, whole = size, 0, False
    while not whole:
        try:
            offset = _probe(ask, path)
            while offset is not None:
                before = min(offset, size)
                end = min(size, before + longest)
                offset = _put(ask, path, data, before, end, size)
                if offset is not None and offset <= before:
                    raise Broken("nothing of what was sent is kept there")
                outage.progress()
                longest = size
            whole = True
        except Broken as broken:
            longest = _PROBE_BYTES
            outage.bear(broken)
        except RefusedError as error:
            refused += 1
            if error.code != Refusal.BAD_REQUEST or refused == _MOST_REFUSALS:
                raise
    outage.over()


def download(ask: Ask, outage: Outage, object_id: str, into: memoryview) -> None:
    """Fetch an object and check its hash; see `Link.download`."""
    view = into.cast("B") if into.nbytes else into
    position, hashed = 0, blake3()
    while True:
        headers = {"range": f"bytes={position}-"} if position else {}
        try:
            with ask("GET", f"/v1/objects/{object_id}", headers, ()) as response:
                if position and response.status != 206:
                    position, hashed = 0, blake3()
                expected = position + int(response.headers.get("content-length", "-1"))
                if expected != view.nbytes:
                    raise RefusedError(
                        Refusal.WRONG_HASH,
                        f"The object {object_id} has {expected} bytes, not {view.nbytes}.",
                    )
                while position < view.nbytes:
                    count = response.readinto(view[position : position + _READ_BYTES])
                    if not count:
                        raise Broken("the connection broke")
                    hashed.update(view[position : position + count])
                    position += count
                    outage.progress()
            break
        except Broken as broken:
            outage.bear(broken)
    outage.over()
    if hashed.hexdigest() != object_id:
        raise RefusedError(
            Refusal.WRONG_HASH,
            f"What came as the object {object_id} has another hash.",
            hint="The file of the object was changed over there.",
        )


def _probe(ask: Ask, path: str) -> int | None:
    """How many bytes of an object are there; None: all."""
    with ask("HEAD", path, {}, ()) as response:
        response.read()  # of nothing, but it frees the connection for the next request
        return None if response.status == 200 else _offset(response)


def _put(
    ask: Ask, path: str, data: memoryview | Path, offset: int, end: int, size: int
) -> int | None:
    """Send a part of an object; gives the same as :func:`_probe`."""
    headers = {
        "content-type": "application/octet-stream",
        "content-length": str(end - offset),
    }
    with ExitStack() as stack:
        if isinstance(data, Path):
            pieces = _of_file(stack.enter_context(data.open("rb")), offset, end)
        else:
            pieces = _of_memory(data, offset, end)
        response = stack.enter_context(
            ask("PUT", f"{path}?offset={offset}&size={size}", headers, pieces)
        )
        response.read()
        return _offset(response) if response.status == 202 else None


def _offset(response: http.client.HTTPResponse) -> int:
    return int(response.headers.get("upload-offset", "0"))


def _of_memory(data: memoryview, offset: int, end: int) -> Iterator[memoryview]:
    view = data.cast("B") if data.nbytes else data
    for first in range(offset, end, _SEND_BYTES):
        yield view[first : min(end, first + _SEND_BYTES)]


def _of_file(file: BufferedReader, offset: int, end: int) -> Iterator[memoryview]:
    file.seek(offset)
    buffer = memoryview(bytearray(_SEND_BYTES))  # sent before the next piece is read
    while offset < end:
        count = file.readinto(buffer[: end - offset])
        if not count:
            raise ValueError("The file became shorter while it was sent.")
        yield buffer[:count]
        offset += count
