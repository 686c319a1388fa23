"""Addresses: ``host:port`` as users write it."""

from dataclasses import dataclass

from flwr.errors import AddressError
from flwr.transport.call import Failure


@dataclass(frozen=True)
class Address:
    """Where a server listens or is found.

    Attributes
    ----------
    host : str
        A name or a number; IPv6 numbers without brackets.
    port : int
        0 lets the system choose (for listening only).
    secure : bool or None
        What a ``https://`` or ``http://`` prefix said; None without one.
    """

    host: str
    port: int
    secure: bool | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse(text: str, default_port: int | None = None) -> Address:
    """Read an address: ``host``, ``host:port``, ``[::]:port``, with ``http(s)://`` or without.

    Parameters
    ----------
    text : str
        The address. A slash at the end is allowed, a path is not.
    default_port : int, optional
        The port of an address that names none; without it, one must be named.

    Raises
    ------
    AddressError
        If the text is no such address.
    """
    scheme, mark, rest = text.strip().partition("://")
    if not mark:
        scheme, rest = "", scheme
    elif scheme.lower() not in ("http", "https"):
        raise _bad(text, f"links are http or https, not {scheme!r}")
    host, port = _split(text, rest.removesuffix("/"))
    if not host or any(mark in host for mark in "/@?# \t\\[]"):
        raise _bad(text, "there is no host name in it" if not host else "that is no host name")
    secure = scheme.lower() == "https" if mark else None
    if port:
        return Address(host, _port(text, port), secure)
    if default_port is None:
        raise _bad(text, "the port is missing")
    return Address(host, default_port, secure)


def _split(text: str, rest: str) -> tuple[str, str]:
    """Host and port, which may be empty."""
    if rest.startswith("["):
        host, closed, port = rest[1:].partition("]")
        if not closed or ":" not in host or (port and not port.startswith(":")):
            raise _bad(text, "the brackets of an IPv6 address are not closed before the port")
        return host, _after_colon(text, port)
    if rest.count(":") > 1:
        raise _bad(text, "an IPv6 address stands in brackets")
    host, colon, port = rest.partition(":")
    return host, _after_colon(text, colon + port)


def _after_colon(text: str, port: str) -> str:
    if port == ":":
        raise _bad(text, "the port is missing behind the colon")
    return port.removeprefix(":")


def _port(text: str, port: str) -> int:
    if not (port.isascii() and port.isdigit() and int(port) < 1 << 16):
        raise _bad(text, f"a port is a number up to 65535, not {port!r}")
    return int(port)


def _bad(text: str, why: str) -> AddressError:
    return AddressError(
        f"Cannot read the address {text!r}: {why}.",
        hint="Write it as host:port: 127.0.0.1:9092, [::1]:9092 or hub.example.org:443.",
        code=Failure.ADDRESS,
    )
