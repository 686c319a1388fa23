"""A SuperNode from its start to its end."""

import contextlib
import logging
import signal
import socket
from dataclasses import dataclass, field
from pathlib import Path

from flwr.config import UserConfig, state_dir
from flwr.config import home as flwr_home
from flwr.errors import AddressError, LinkError, RefusedError
from flwr.log import log
from flwr.supernode.health import health_endpoint
from flwr.supernode.identity import Identity, free_identity, identity_of
from flwr.supernode.lanes import Patience
from flwr.supernode.loop import Node, NodeSettings
from flwr.supernode.signals import stopped_by_signals
from flwr.transport.address import Address
from flwr.transport.call import Refusal
from flwr.transport.client import Link
from flwr.transport.tls import ClientTls, ServerTls


@dataclass(frozen=True)
class Settings:
    """What a SuperNode is told when it is started.

    Attributes
    ----------
    superlink : Address
        The hub's Fleet API.
    tls : ClientTls or None
        Whom to believe; None: plain HTTP.
    node_config : dict
        What apps find in ``context.node_config``.
    state_dir : Path or None
        Who the node is, and what it must not lose; by default a free slot of ``FLWR_HOME``.
    concurrent : int
        How many messages are handled at once, each of another run.
    patience : Patience
        How long a hub that does not answer is tried again.
    health : Address or None
        Where to answer ``GET /health``.
    hosts : Address or None
        With ``--isolation process``: where hosts of ClientApps take their work.
    hosts_tls : ServerTls or None
        For that.
    """

    superlink: Address
    tls: ClientTls | None = None
    node_config: UserConfig = field(default_factory=dict)
    state_dir: Path | None = None
    concurrent: int = 1
    patience: Patience = field(default_factory=Patience)
    health: Address | None = None
    hosts: Address | None = None
    hosts_tls: ServerTls | None = None


class NeverConnectedError(Exception):
    """The hub was not reached even once; the cause is chained."""


def run_supernode(settings: Settings) -> signal.Signals:
    """Work until SIGINT or SIGTERM comes; return which it was.

    Raises
    ------
    NeverConnectedError
        If the hub was not reached even once.
    FlwrError
        If the node cannot start, or cannot go on.
    """
    with _identity(settings) as identity, contextlib.ExitStack() as stack:
        link = Link(
            settings.superlink,
            tls=settings.tls,
            token=identity.secret,
            patience=settings.patience.seconds,
        )
        node = Node(_node_settings(settings), identity, link)
        if settings.health is not None:
            stack.enter_context(health_endpoint(settings.health))
        signals = stack.enter_context(stopped_by_signals(node.stop))
        welcomed: list[int] = []

        def on_welcome(node_id: int) -> None:
            log(logging.INFO, "SuperNode %s is connected to %s.", node_id, settings.superlink)
            welcomed.append(node_id)

        log(logging.INFO, "Starting SuperNode; its state lies in %s", identity.folder)
        try:
            node.run(on_welcome)
        except LinkError as error:
            version = isinstance(error, RefusedError) and error.code == Refusal.VERSION
            here = isinstance(error, AddressError)  # where it was to listen itself
            if welcomed or version or here:
                raise
            raise NeverConnectedError from error
        return signals[0]


def _identity(settings: Settings) -> Identity:
    if settings.state_dir is not None:
        return identity_of(settings.state_dir.absolute())
    nodes = state_dir() / "nodes"
    return free_identity(nodes, str(settings.superlink), settings.node_config)


def _node_settings(settings: Settings) -> NodeSettings:
    return NodeSettings(
        apps=flwr_home() / "apps",
        name=socket.gethostname(),
        node_config=settings.node_config,
        concurrent=settings.concurrent,
        patience=settings.patience,
        hosts=settings.hosts,
        hosts_tls=settings.hosts_tls,
    )
