"""A SuperLink from its start to its end."""

import asyncio
import contextlib
import gc
import resource
import signal
from logging import INFO, WARNING

from flwr.clock import unix_now
from flwr.errors import FlwrError
from flwr.log import log
from flwr.store.hub import HubStore
from flwr.superlink.appio import AppIo
from flwr.superlink.control import Control
from flwr.superlink.entrance import Entrance
from flwr.superlink.fleet import Fleet
from flwr.superlink.hub import Hub
from flwr.superlink.runs import Runs
from flwr.superlink.scheduler import Scheduler
from flwr.superlink.settings import Isolation, Port, Service, Settings
from flwr.superlink.shelf import Shelf
from flwr.transport.address import Address
from flwr.transport.server import Api, Listen, Servers, loop_factory, serve
from flwr.transport.tls import ClientTls

GRACE_SECONDS = 2.0  # for calls that are being answered when the hub ends
SWEEP_SECONDS = 3600.0  # between two looks for uploads that nobody refers to
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - a key


def run_superlink(settings: Settings) -> signal.Signals:
    """Serve until SIGINT or SIGTERM comes; return which it was.

    Raises
    ------
    FlwrError
        If it cannot start: an address in use, a database that cannot be opened.
    """
    _raise_file_limit()
    _collect_rarely()
    with (
        HubStore.open(settings.database) as store,
        asyncio.Runner(loop_factory=loop_factory()) as runner,
    ):
        return runner.run(_serve_until_signal(settings, store))


async def _serve_until_signal(settings: Settings, store: HubStore) -> signal.Signals:
    came: asyncio.Queue[signal.Signals] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, came.put_nowait, number)
    superlink = await Superlink.start(settings, store)
    superlink.greet()
    try:
        return await came.get()
    finally:
        await superlink.close()


class Superlink:
    """A hub that serves. Made by :meth:`start`, in one event loop.

    Attributes
    ----------
    hub : Hub
        Who waits for what.
    addresses : tuple of Address
        Where it listens, in the order of the settings' ports.
    """

    def __init__(self, settings: Settings, store: HubStore, hub: Hub) -> None:
        self._settings = settings
        self._store = store
        self.hub = hub
        self._runs = Runs(hub)
        self._scheduler = Scheduler(
            hub,
            self._runs,
            settings.state_dir / "runs",
            outside=settings.isolation is Isolation.PROCESS,
            patience=settings.app_patience,
        )
        self.addresses: tuple[Address, ...] = ()
        self._servers: Servers | None = None

    @classmethod
    async def start(cls, settings: Settings, store: HubStore) -> "Superlink":
        """Take up what the store says, and listen.

        Raises
        ------
        FlwrError
            If an address is in use, or a certificate cannot be used.
        """
        superlink = cls(settings, store, await Hub.open(store, settings.lost_after))
        await superlink._listen()
        return superlink

    def greet(self) -> None:
        """Say that it is ready, and for what."""
        where = ", ".join(
            f"{_served(port)} at {address.host}:{address.port}"
            for port, address in zip(self._settings.ports, self.addresses, strict=True)
        )
        kept = self._settings.database or "memory: all is gone when it ends"
        log(INFO, "SuperLink is ready: %s; state in %s", where, kept)

    def for_apps(self) -> tuple[str, ClientTls | None]:
        """Return where app processes on this machine reach the hub, and whom they believe."""
        tls = self._settings.tls
        for port, address in zip(self._settings.ports, self.addresses, strict=True):
            if Service.APP in port.services:
                here = Address(_LOOPBACK.get(address.host, address.host), address.port)
                # a certificate is hardly for a loopback address
                return str(here), None if tls is None else ClientTls(tls.ca, tls.name())
        raise AssertionError("every SuperLink serves its app processes")

    async def close(self) -> None:
        """Answer all who wait, and end. App processes are left to the next hub if there is one."""
        self.hub.begin_closing()
        if self._servers is not None:
            await self._servers.close(GRACE_SECONDS)
        await self._scheduler.close(leave=self._settings.database is not None)
        await self.hub.close()

    async def _listen(self) -> None:
        self._servers = await serve(self._listens())
        self.addresses = self._servers.addresses
        self._scheduler.start(*self.for_apps())
        self.hub.in_background(self._sweep())

    def _listens(self) -> list[Listen]:
        settings, hub, runs, scheduler = self._settings, self.hub, self._runs, self._scheduler
        entrance = Entrance(hub)
        authenticate = entrance.authenticate
        shelf = Shelf(self._store)
        simulation = settings.simulation_options if settings.simulation else None
        database = settings.database
        folder = database.parent if database is not None else settings.state_dir
        control = Control(hub, runs, scheduler, simulation, folder)
        apis = {
            Service.APP: Api("app", AppIo(hub, runs, scheduler).handlers(), authenticate, shelf),
            Service.FLEET: Api("fleet", Fleet(hub, runs, entrance).handlers(), authenticate, shelf),
            Service.CONTROL: Api("control", control.handlers(), authenticate),
        }
        return [
            Listen(
                port.address,
                [apis[service] for service in port.services],
                settings.tls if port.services else None,
            )
            for port in settings.ports
        ]

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await self._store.sweep(unix_now())
                await self.hub.forget_long_gone()
            except FlwrError as error:  # a full disk, say: there is a next time
                log(WARNING, "%s", error)


def _served(port: Port) -> str:
    return ", ".join(port.services) or "health"


def _collect_rarely() -> None:
    """Look for garbage seldom: with thousands of connections that took half of the hub's time."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 100)


def _raise_file_limit() -> None:
    """Have as many connections as the system allows: the default is often 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
