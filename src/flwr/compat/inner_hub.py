"""A SuperLink inside this process, with one run that this process drives as well."""

import asyncio
import threading
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from logging import INFO
from pathlib import Path
from typing import Any, TypeVar

from flwr.app import Context, RecordDict
from flwr.clock import unix_now
from flwr.log import log
from flwr.runtime.appprocess import LaunchFacts, info_of
from flwr.runtime.linkgrid import LinkGrid
from flwr.runtime.reporter import Reporter
from flwr.store.hub import HubStore
from flwr.store.records import NewRun, new_run_id
from flwr.superlink.serve import Superlink
from flwr.superlink.settings import Isolation, Port, Service, Settings
from flwr.transport import appio
from flwr.transport.address import Address
from flwr.transport.parts import Nothing
from flwr.transport.tls import ServerTls

T = TypeVar("T")

# seconds; a client that was killed comes back as another one, one whose network failed as itself
_LOST_AFTER = 2.0


class ClientsGrid(LinkGrid):
    """Reaches clients that were started for this one run, which nobody takes up again."""

    lets_clients_go = True

    def say_waiting(self, connected: int, count: int) -> None:
        """Say that more clients are waited for than are connected."""
        log(INFO, "Waiting for clients: %d of %d are connected", connected, count)

    def checkpoint(self, state: Mapping[str, Any]) -> None:
        """Let go of the replies that were used; the state is in this process alone."""
        super().checkpoint({})


@contextmanager
def inner_hub(address: Address, tls: ServerTls | None, folder: Path) -> Iterator[ClientsGrid]:
    """Serve clients in the background; gives the grid that reaches them.

    Parameters
    ----------
    address : Address
        Where clients connect.
    tls : ServerTls or None
        For them; None serves plain HTTP.
    folder : Path
        For files that may go afterwards.

    Raises
    ------
    FlwrError
        If the address is in use, or the certificate cannot be used.
    """
    ports = (Port(address, (Service.FLEET,)), Port(Address("127.0.0.1", 0), (Service.APP,)))
    settings = Settings(ports, folder, tls=tls, isolation=Isolation.PROCESS, lost_after=_LOST_AFTER)
    with ExitStack() as stack:
        loop = stack.enter_context(_loop_in_thread())

        def wait_for(work: Coroutine[Any, Any, T]) -> T:
            return asyncio.run_coroutine_threadsafe(work, loop).result()

        store = stack.enter_context(HubStore.open(None))
        token = wait_for(_begin_run(store))
        superlink = wait_for(Superlink.start(settings, store))
        stack.callback(lambda: wait_for(superlink.close()))
        where, trust = superlink.for_apps()
        link = stack.enter_context(LaunchFacts(where, token, trust).link())
        # what it reports are signs of life: the server may compute for long
        stack.callback(Reporter(link, lambda error: None).close)
        run = info_of(link.call(appio.INPUTS, Nothing()).sheet)
        grid = ClientsGrid(link, run, Context(run.run_id, 0, {}, RecordDict(), {}))
        stack.callback(grid.close)
        yield grid


@contextmanager
def _loop_in_thread() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="flwr-hub", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        asyncio.run_coroutine_threadsafe(loop.shutdown_default_executor(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _begin_run(store: HubStore) -> str:
    """Make a run that this process works for; return its token."""
    new = NewRun(
        run_id=new_run_id(),
        fab_id="",
        fab_version="",
        fab_hash="",
        federation="",
        app_dir="",
        run_config={},
        options={},
    )
    await store.create_run(new, "serverapp", b"", unix_now())
    _, token = await store.launch(new.run_id, unix_now())
    return token
