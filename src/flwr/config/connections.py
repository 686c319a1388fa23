"""The user's connections (``FLWR_HOME/config.toml``), and where a run takes place."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flwr.config.home import home
from flwr.config.project import Federation, HasFederations, read_options
from flwr.config.simulation import SimulationOptions
from flwr.config.spelling import suggestion
from flwr.config.toml import Problems, read_toml
from flwr.errors import ConfigError

LOCAL_ADDRESSES = (":local:", ":local-in-memory:")
_ADDRESS = re.compile(r"\S+:\d{1,5}|[^\s:]+|\[[0-9A-Fa-f:.]+\](?::\d{1,5})?")
_FEDERATION_ID = re.compile(r"@[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class Connection:
    """One ``[superlink.<name>]`` of ``config.toml``.

    Attributes
    ----------
    name, address : str
        `address` is ``host:port``, ``:local:`` or ``:local-in-memory:``.
    insecure : bool
        Without TLS.
    root_certificates : Path or None
        Certificates to trust instead of the system's.
    federation : str or None
        ``@account/name``.
    options : SimulationOptions
        For local simulations.
    """

    name: str
    address: str
    insecure: bool = False
    root_certificates: Path | None = None
    federation: str | None = None
    options: SimulationOptions = field(default_factory=SimulationOptions)

    @property
    def is_local(self) -> bool:
        """Whether runs take place in the command itself."""
        return self.address in LOCAL_ADDRESSES


@dataclass(frozen=True)
class Connections:
    """All connections of ``config.toml``.

    Attributes
    ----------
    path : Path
        The file, whether it exists or not.
    default : str
        The connection to use when none is named.
    by_name : mapping of str to Connection
        ``local`` is always among them.
    """

    path: Path
    default: str
    by_name: Mapping[str, Connection]


@dataclass(frozen=True)
class Place:
    """Where a run takes place.

    Attributes
    ----------
    name : str
        Of the connection or federation; an empty text if none is configured.
    address : str or None
        Of a SuperLink; None for a run in place.
    options : SimulationOptions
        Of a run in place.
    why : str
        Who chose it, for the user to read.
    insecure : bool
        The SuperLink is reached without TLS.
    root_certificates : Path or None
        Certificates to trust instead of the system's.
    federation : str or None
        The one at the SuperLink.
    of_app : bool
        It is a federation of the app, which only commands that know the app find.
    """

    name: str
    address: str | None
    options: SimulationOptions
    why: str
    insecure: bool = False
    root_certificates: Path | None = None
    federation: str | None = None
    of_app: bool = False


def read_connections() -> Connections:
    """Read ``FLWR_HOME/config.toml``. A missing file is not created: there is ``local`` then.

    Raises
    ------
    ConfigError
        If anything in it is wrong: all problems are listed with line and key.
    """
    path = home() / "config.toml"
    local = Connection("local", ":local:")
    if not path.is_file():
        return Connections(path, "local", {"local": local})
    document = read_toml(path)
    problems = Problems(document)
    tables = document.get("superlink")
    if not isinstance(tables, dict):
        tables = {}
        problems.add(("superlink",), "the table [superlink] is missing")
    by_name = {"local": local}
    for name, table in tables.items():
        if isinstance(table, dict):
            by_name[name] = _connection(problems, name, table)
        elif name != "default":
            problems.add(("superlink", name), f"must be a table; it is {table!r}")
    default = tables.get("default", "local")
    if default not in by_name:
        problems.add(
            ("superlink", "default"),
            f"there is no connection {default!r}; {suggestion(str(default), by_name)}",
        )
    problems.raise_if_any("connections")
    return Connections(path, default, by_name)


def _connection(problems: Problems, name: str, table: dict[str, Any]) -> Connection:
    """Return one connection; note whatever is wrong with it."""
    key = ("superlink", name)
    kinds = {
        "address": str,
        "insecure": bool,
        "root-certificates": str,
        "federation": str,
        "options": dict,
    }
    right: dict[str, Any] = {}
    for item, value in table.items():
        if item not in kinds:
            problems.add((*key, item), f"unknown key; {suggestion(item, kinds)}")
        elif not isinstance(value, kinds[item]):
            problems.add((*key, item), f"must be a {kinds[item].__name__}; it is {value!r}")
        else:
            right[item] = value
    if "." in name:
        problems.add(key, "the name of a connection must not contain a dot")
    if not right.keys() & {"address", "options"} and not table.keys() & {"address", "options"}:
        problems.add(key, "'address' is missing")
    address = right.get("address", ":local:")
    if address not in LOCAL_ADDRESSES and not _ADDRESS.fullmatch(address):
        problems.add((*key, "address"), f"must be host:port or :local:; it is {address!r}")
    certificates = Path(right["root-certificates"]) if "root-certificates" in right else None
    if certificates and right.get("insecure"):
        problems.add((*key, "root-certificates"), "cannot be used together with insecure = true")
    if certificates and not certificates.is_absolute():
        problems.add((*key, "root-certificates"), f"must be an absolute path; is '{certificates}'")
    federation = right.get("federation")
    if federation and not _FEDERATION_ID.fullmatch(federation):
        problems.add((*key, "federation"), f"must be @account/name; it is '{federation}'")
    return Connection(
        name,
        address,
        right.get("insecure", False),
        certificates,
        federation,
        read_options(problems, (*key, "options")),
    )


def choose_place(name: str | None, app: HasFederations | None, connections: Connections) -> Place:
    """Return where a run takes place.

    Parameters
    ----------
    name : str or None
        What the user named: a connection of ``config.toml``, else a federation of the app.
        None: the app's default federation, else a default connection that is not local, else
        in place.
    app : AppConfig, AppFederations or None
        The app, or its federations, if there is one.
    connections : Connections
        The user's.

    Raises
    ------
    ConfigError
        If neither file knows `name`.
    """
    federations = app.federations if app else {}
    if name is None:
        return _default_place(app, connections)
    if name in federations and not (name in connections.by_name and name != "local"):
        return _place_of_federation(federations[name], "named on the command line")
    if name in connections.by_name:
        return _place_of_connection(connections.by_name[name], "named on the command line")
    known = {*federations, *connections.by_name}
    raise ConfigError(
        f"There is no connection or federation '{name}'; {suggestion(name, known)}",
        hint=f"Connections are in {connections.path}, federations in the app's pyproject.toml.",
    )


def _default_place(app: HasFederations | None, connections: Connections) -> Place:
    if app and app.default_federation:
        federation = app.federations[app.default_federation]
        return _place_of_federation(federation, "the app's default federation")
    default = connections.by_name[connections.default]
    if not default.is_local or default.options.configured:
        return _place_of_connection(default, f"the default of {connections.path}")
    return Place("", None, default.options, "nothing else is configured")


def _place_of_federation(federation: Federation, why: str) -> Place:
    return Place(
        federation.name,
        federation.address,
        federation.options,
        why,
        federation.insecure,
        federation.root_certificates,
        of_app=True,
    )


def _place_of_connection(connection: Connection, why: str) -> Place:
    return Place(
        connection.name,
        None if connection.is_local else connection.address,
        connection.options,
        why,
        connection.insecure,
        connection.root_certificates,
        connection.federation,
    )
