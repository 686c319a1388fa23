"""Objects as the transport's server wants them, over the store's."""

import asyncio
from collections.abc import AsyncIterator

from flwr.clock import unix_now
from flwr.errors import RefusedError
from flwr.store.hub import HubStore
from flwr.store.hubrecords import Principal
from flwr.superlink.refusals import refusing
from flwr.transport.call import Access, Caller, Refusal


class Shelf:
    """The objects of a hub. Nodes and runs see those that they uploaded or were sent.

    Parameters
    ----------
    store : HubStore
        Keeps them.
    """

    def __init__(self, store: HubStore) -> None:
        self._store = store

    async def offset(self, caller: Caller, object_id: str) -> int | None:
        """Return None if an object is here for the caller, else how much of it is."""
        with refusing():
            return await self._store.object_offset(_principal(caller), object_id, unix_now())

    async def receive(
        self, caller: Caller, object_id: str, offset: int, size: int, chunks: AsyncIterator[bytes]
    ) -> tuple[bool, int]:
        """Take an object from an offset on; return whether it is whole, and how much is here."""
        who = _principal(caller)
        with refusing():
            upload = await self._store.begin_upload(who, object_id, size)
            try:
                if offset > upload.offset:
                    raise RefusedError(
                        Refusal.BAD_REQUEST,
                        f"Object {object_id}: {upload.offset} bytes are here, so the next is not "
                        f"number {offset}.",
                    )
                known = upload.offset - offset
                async for piece in chunks:
                    new = memoryview(piece)[known:]
                    known -= len(piece) - len(new)
                    if new:
                        await asyncio.to_thread(upload.write, new)
                if upload.is_complete:
                    await self._store.admit(upload, who, unix_now())
                return upload.is_complete, upload.offset
            finally:
                await asyncio.to_thread(upload.close)

    async def open(self, caller: Caller, object_id: str) -> tuple[int, int]:
        """Return a file descriptor and the size of an object."""
        with refusing():
            return await self._store.open_object(_principal(caller), object_id)


def _principal(caller: Caller) -> Principal:
    if caller.access == Access.NODE:
        return Principal("node", caller.node_id)
    return Principal("run", caller.run_id)
