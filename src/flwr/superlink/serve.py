"""A SuperLink from its start to its end."""

import asyncio
import contextlib
import resource
import signal
from logging import INFO

from flwr.clock import unix_now
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


def run_superlink(settings: Settings) -> int:
    """Serve until SIGINT or SIGTERM comes; return the exit status.

    Raises
    ------
    FlwrError
        If it cannot start: an address in use, a database that cannot be opened, bad certificates.
    """
    if settings.tls is not None:
        settings.tls.check()
    _raise_file_limit()
    with (
        HubStore.open(settings.database) as store,
        asyncio.Runner(loop_factory=loop_factory()) as runner,
    ):
        runner.run(_Superlink(settings, store).run())
    return 0


class _Superlink:
    """One SuperLink."""

    def __init__(self, settings: Settings, store: HubStore) -> None:
        self._settings = settings
        self._store = store

    async def run(self) -> None:
        """Serve until a signal comes."""
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopping.set)
        hub = await Hub.open(self._store)
        runs = Runs(hub)
        settings = self._settings
        outside = settings.isolation is Isolation.PROCESS
        scheduler = Scheduler(hub, runs, settings.state_dir / "runs", outside=outside)
        servers = await serve(self._listens(hub, runs, scheduler))
        try:
            self._greet(servers)
            tls = None
            if settings.tls is not None:  # its certificate is hardly for a loopback address
                tls = ClientTls(settings.tls.ca, settings.tls.name())
            scheduler.start(str(self._app_address(servers)), tls)
            hub.in_background(self._sweep())
            await stopping.wait()
            log(INFO, "The SuperLink is ending")
        finally:
            hub.begin_closing()
            await servers.close(GRACE_SECONDS)
            await scheduler.close(leave=settings.database is not None)
            await hub.close()

    def _listens(self, hub: Hub, runs: Runs, scheduler: Scheduler) -> list[Listen]:
        settings = self._settings
        authenticate = Entrance(self._store).authenticate
        shelf = Shelf(self._store)
        simulation = settings.simulation_options if settings.simulation else None
        control = Control(hub, runs, scheduler, simulation)
        apis = {
            Service.APP: Api("app", AppIo(hub, runs, scheduler).handlers(), authenticate, shelf),
            Service.FLEET: Api("fleet", Fleet(hub, runs).handlers(), authenticate, shelf),
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

    def _greet(self, servers: Servers) -> None:
        where = ", ".join(
            f"{_served(port)} at {address.host}:{address.port}"
            for port, address in zip(self._settings.ports, servers.addresses, strict=True)
        )
        kept = self._settings.database or "memory: all is gone when it ends"
        log(INFO, "SuperLink is ready: %s; state in %s", where, kept)

    def _app_address(self, servers: Servers) -> Address:
        """Return where app processes on this machine reach the hub."""
        for port, address in zip(self._settings.ports, servers.addresses, strict=True):
            if Service.APP in port.services:
                return Address(_LOOPBACK.get(address.host, address.host), address.port)
        raise AssertionError("every SuperLink serves its app processes")

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            await self._store.sweep(unix_now())


def _served(port: Port) -> str:
    return ", ".join(port.services) or "health"


def _raise_file_limit() -> None:
    """Have as many connections as the system allows: the default is often 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
