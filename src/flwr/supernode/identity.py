"""Who a node is: a secret in its state folder, which one process at a time may use.

Without a folder of its own, a node takes the first free slot of its ``FLWR_HOME`` for this hub
and this configuration. So several nodes of one machine each come back as who they were.
"""

import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from flwr.errors import HomeError, SettingsError

_MOST_SLOTS = 100_000


@dataclass(frozen=True)
class Identity:
    """A node's identity, held until it is closed.

    Attributes
    ----------
    folder : Path
        The node's state folder.
    secret : str
        Known to the node and, hashed, to the hub.
    """

    folder: Path
    secret: str
    _lock: int

    def __enter__(self) -> Self:
        """Return this identity."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let other processes use the folder."""
        os.close(self._lock)


def identity_of(folder: Path) -> Identity:
    """Return the identity that lives in a folder; a new one if there is none.

    Raises
    ------
    SettingsError
        If another process uses the folder.
    HomeError
        If it cannot be written.
    """
    identity = _try(folder)
    if identity is None:
        raise SettingsError(
            f"Another SuperNode is running with the state folder {folder}.",
            hint="Stop that one, or give this one a --state-dir of its own.",
        )
    return identity


def free_identity(nodes: Path, address: str, node_config: Mapping[str, object]) -> Identity:
    """Return the first identity for a hub and configuration that no other process uses.

    Parameters
    ----------
    nodes : Path
        The folder of all slots.
    address : str
        The hub's.
    node_config : mapping
        The node's configuration.
    """
    written = json.dumps([address, sorted(node_config.items())], default=str)
    name = hashlib.sha256(written.encode()).hexdigest()[:16]
    for index in range(_MOST_SLOTS):
        identity = _try(nodes / f"{name}-{index}")
        if identity is not None:
            return identity
    raise SettingsError(f"All {_MOST_SLOTS} slots for nodes in {nodes} are in use.")


def _try(folder: Path) -> Identity | None:
    """Lock a folder and read or write its secret; ``None`` if it is in use."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            secret = _secret(folder)
        except BlockingIOError:
            os.close(lock)
            return None
        except BaseException:
            os.close(lock)
            raise
    except OSError as error:
        raise HomeError(
            f"The state folder {folder} cannot be used: {error.strerror}",
            hint="Give a folder that can be written: --state-dir, or FLWR_HOME.",
        ) from error
    return Identity(folder, secret, lock)


def _secret(folder: Path) -> str:
    path = folder / "secret"
    if path.exists() and (secret := path.read_text().strip()):
        return secret
    secret = secrets.token_urlsafe(32)
    new = folder / "secret.new"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret + "\n")
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    return secret
