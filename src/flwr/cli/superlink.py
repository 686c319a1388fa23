"""Talking to the SuperLink of a connection, and following a run there."""

import contextlib
import gc
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from flwr.config import Place
from flwr.errors import LinkError, TlsError
from flwr.transport.control import EVENTS, LOG, EventPart, Follow, LogPart, Run
from flwr.transport.fleet import RENEW_SECONDS

if TYPE_CHECKING:
    from flwr.transport.client import Link

CONTROL_PORT = 9093
PATIENCE = 5.0  # seconds for a SuperLink that is just being started
_PATIENCE_FOLLOWING = 600.0  # for one that is restarted while a run is followed


@contextlib.contextmanager
def connected(place: Place) -> "Iterator[Link]":
    """Give a link to the SuperLink of a place.

    Raises
    ------
    LinkError
        What goes wrong with the link in the body; it names the connection.
    SettingsError
        If the root certificates cannot be used.
    """
    from flwr.transport.address import parse
    from flwr.transport.client import Link
    from flwr.transport.tls import ClientTls

    gc.enable()
    address = parse(place.address or "", CONTROL_PORT)
    tls = None if place.insecure else ClientTls(place.root_certificates)
    link = Link(address, tls=tls, patience=PATIENCE)
    try:
        yield link
    except LinkError as error:
        which = f"The connection is '{place.name}' ({place.why})."
        if isinstance(error, TlsError):
            which += " Its settings for TLS are root-certificates and insecure."
        error.hint = f"{error.hint}\n{which}".lstrip()
        raise
    finally:
        link.close()


def place_line(place: Place) -> str:
    """Return the line that says which SuperLink a command talks to."""
    return f"Using SuperLink: {place.name} ({place.address})"


def command_text(command: str, run_id: int, place: Place, app: Path | None) -> str:
    """Return a command about a run, to be typed in the folder that this command was typed in.

    Parameters
    ----------
    command : str
        Such as ``log``.
    run_id : int
        The run.
    place : Place
        Where it runs.
    app : Path or None
        The app's folder as it was given, if it was.
    """
    words = ["flwr", command, str(run_id)]
    if place.of_app and app is not None:
        words.append(str(app))
    return shlex.join([*words, place.name])


def follow_log(link: "Link", run_id: int, *, live: bool = True) -> Iterator[LogPart]:
    """Yield what a run printed, until its end, or, if not `live`, until no more is there."""
    after = 0
    while True:
        part = link.call(LOG, _question(run_id, after, live=live), **_waiting(link, live=live))
        yield part
        if part.run is not None or not (live or part.entries):
            return
        after = part.entries[-1].seq if part.entries else after


def follow_events(link: "Link", run_id: int) -> Iterator[EventPart]:
    """Yield what a run tells about itself, until its end."""
    after = 0
    while True:
        part = link.call(EVENTS, _question(run_id, after, live=True), **_waiting(link, live=True))
        yield part
        if part.run is not None:
            return
        after = part.events[-1].seq if part.events else after


def _question(run_id: int, after: int, *, live: bool) -> Follow:
    return Follow(run_id, after, wait=RENEW_SECONDS if live else 0.0)


def _waiting(link: "Link", *, live: bool) -> dict[str, float]:
    """Return how long to wait for news, and for a SuperLink that has been there before."""
    if not live:
        return {}
    patience = {"patience": _PATIENCE_FOLLOWING} if link.answered else {}
    return {"wait": RENEW_SECONDS, **patience}


def exit_code_of(run: Run) -> int:
    """Return what a command that followed a run to its end exits with.

    It is the documented code of its ServerApp, or 1 for one that is no exit status.
    """
    if run.state == "finished:completed":
        return 0
    return run.exit_code if 0 < run.exit_code < 256 else 1
