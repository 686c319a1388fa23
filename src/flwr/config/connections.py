"""The user's connections (``FLWR_HOME/config.toml``), and where a run takes place."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flwr.config.home import home
from flwr.config.project import Federation, HasFederations, read_options
from flwr.config.simulation import SimulationOptions
from flwr.config.spelling import nearest, suggestion
from flwr.config.toml import Key, Problems, read_toml
from flwr.errors import ConfigError

LOCAL_ADDRESSES = (":local:", ":local-in-memory:")
_LAST_PORT = 65535
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
    tables = dict(_tables(problems))
    default: object = "local"
    if not isinstance(tables.get("default"), dict):  # a connection may itself be called default
        default = tables.pop("default", "local")
    by_name = {"local": local}
    for name, table in tables.items():
        if isinstance(table, dict):
            by_name[name] = _connection(problems, name, table)
        else:
            meant = " (did you mean 'default'?)" if nearest(name, ["default"]) else ""
            problems.add(("superlink", name), f"must be a table; it is {table!r}{meant}")
    if not isinstance(default, str):
        problems.add(("superlink", "default"), f"must be the name of one; it is {default!r}")
    elif default not in by_name:
        problems.add(
            ("superlink", "default"),
            f"there is no connection {default!r}; {suggestion(default, by_name)}",
        )
    problems.raise_if_any("connections")
    return Connections(path, str(default), by_name)


def _tables(problems: Problems) -> Mapping[str, Any]:
    """Return the table of connections; note that there is none, unless the file is empty."""
    data = problems.document.data
    tables = data.get("superlink", {} if not data else None)
    if isinstance(tables, dict):
        return tables
    if tables is None:
        alike = nearest("superlink", data)
        found = f"; found '{alike}', did you mean 'superlink'?" if alike else ""
        problems.add((alike or "superlink",), f"the table [superlink] is missing{found}")
    else:
        problems.add(("superlink",), f"must be a table; it is {tables!r}")
    return {}


_KINDS: dict[str, tuple[type, str]] = {
    "address": (str, "a text"),
    "insecure": (bool, "true or false"),
    "root-certificates": (str, "a path"),
    "federation": (str, "a text"),
    "options": (dict, "a table"),
}


def _connection(problems: Problems, name: str, table: dict[str, Any]) -> Connection:
    """Return one connection; note whatever is wrong with it."""
    key = ("superlink", name)
    right: dict[str, Any] = {}
    for item, value in table.items():
        if item not in _KINDS and isinstance(value, dict):
            problems.add((*key, item), "the name of a connection must not contain a dot")
        elif item not in _KINDS:
            problems.add((*key, item), f"unknown key; {suggestion(item, _KINDS)}")
        elif not isinstance(value, _KINDS[item][0]):
            problems.add((*key, item), f"must be {_KINDS[item][1]}; it is {value!r}")
        else:
            right[item] = value
    if "." in name:
        problems.add(key, "the name of a connection must not contain a dot")
    alike = [item for item in table if item not in _KINDS and nearest(item, ["address"])]
    if not (table.keys() & {"address", "options"} or alike):
        problems.add(key, "'address' is missing, as host:port or :local:")
    _check_text(problems, key, right)
    certificates = right.get("root-certificates")
    folder = problems.document.path.parent  # what a path is relative to
    return Connection(
        name,
        right.get("address", ":local:"),
        right.get("insecure", False),
        folder / Path(certificates).expanduser() if certificates else None,
        right.get("federation"),
        read_options(problems, (*key, "options")),
    )


def _check_text(problems: Problems, key: Key, right: Mapping[str, Any]) -> None:
    """Note what is wrong with the values of one connection, whose types are right."""
    address = right.get("address", ":local:")
    if address not in LOCAL_ADDRESSES:
        port = re.search(r":(\d+)$", address)
        if not _ADDRESS.fullmatch(address):
            wrong = f"must be host:port or :local:; it is {address!r}"
            if address.startswith(":") and nearest(address, LOCAL_ADDRESSES):
                wrong += f"; {suggestion(address, LOCAL_ADDRESSES)}"
            problems.add((*key, "address"), wrong)
        elif port and int(port[1]) > _LAST_PORT:
            problems.add((*key, "address"), f"a port is at most {_LAST_PORT}; it is {port[1]}")
    certificates = right.get("root-certificates")
    if certificates == "":
        problems.add((*key, "root-certificates"), "must be the path of a file; it is empty")
    if certificates and right.get("insecure"):
        problems.add((*key, "root-certificates"), "cannot be used together with insecure = true")
    federation = right.get("federation")
    if federation is not None and not _FEDERATION_ID.fullmatch(federation):
        problems.add((*key, "federation"), f"must be @account/name; it is {federation!r}")


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
