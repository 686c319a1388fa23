"""An app's ``pyproject.toml``: read, checked as a whole, and given as one frozen record."""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from flwr.config.simulation import SimulationOptions, is_option
from flwr.config.spelling import nearest, suggestion
from flwr.config.toml import Key, Problems, read_toml
from flwr.config.values import UserConfig, read_values
from flwr.errors import ConfigError

_APP: Key = ("tool", "flwr", "app")
_COMPONENTS: Key = (*_APP, "components")
_CONFIG: Key = (*_APP, "config")
_FEDERATIONS: Key = ("tool", "flwr", "federations")
_APP_KEYS = (
    "publisher",
    "components",
    "config",
    "fab-include",
    "fab-exclude",
    "fab-format-version",
    "flwr-version-target",
    "display-name",
    "color",
)
_COMPONENT_KEYS = ("serverapp", "clientapp", "agentapp")
_FEDERATION_KEYS = ("address", "insecure", "root-certificates", "options")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_REFERENCE = re.compile(r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<attribute>[^\W\d]\w*)")


@dataclass(frozen=True)
class Federation:
    """One ``[tool.flwr.federations.<name>]`` of an app.

    Attributes
    ----------
    name : str
        Its name.
    address : str or None
        ``host:port`` of a SuperLink; None for a simulation.
    insecure : bool
        Whether the SuperLink is reached without TLS.
    root_certificates : Path or None
        Certificates to trust instead of the system's, absolute.
    options : SimulationOptions
        Of the simulation; the defaults if the federation has an address.
    """

    name: str
    address: str | None = None
    insecure: bool = False
    root_certificates: Path | None = None
    options: SimulationOptions = field(default_factory=SimulationOptions)


class HasFederations(Protocol):
    """What names places to run at: an app, or no more than that part of its project file."""

    @property
    def federations(self) -> Mapping[str, Federation]:
        """Federations by name."""

    @property
    def default_federation(self) -> str | None:
        """The one to use when none is named."""


@dataclass(frozen=True)
class AppFederations:
    """The federations that a ``pyproject.toml`` names; see `AppConfig` for the fields."""

    federations: Mapping[str, Federation]
    default_federation: str | None


@dataclass(frozen=True)
class AppConfig:
    """What an app's ``pyproject.toml`` says.

    Attributes
    ----------
    app_dir : Path
        The folder of the file, absolute.
    name, version, publisher : str
        Who the app is.
    serverapp, clientapp : str
        References ``package.module:attribute``.
    run_config : dict
        ``[tool.flwr.app.config]`` with dotted keys.
    federations : mapping of str to Federation
        Federations by name, as the file lists them.
    default_federation : str or None
        The one to use when none is named, if the file says so.
    """

    app_dir: Path
    name: str
    version: str
    publisher: str
    serverapp: str
    clientapp: str
    run_config: UserConfig
    federations: Mapping[str, Federation]
    default_federation: str | None

    @property
    def fab_id(self) -> str:
        """``publisher/name``."""
        return f"{self.publisher}/{self.name}"


def read_app(app_dir: Path) -> AppConfig:
    """Read and check the ``pyproject.toml`` of an app. No code of the app is run.

    Raises
    ------
    ConfigError
        If the file is missing, is not TOML, or anything in it is wrong: all problems are listed,
        each with line, key and, where one is near, the valid name.
    """
    app_dir = app_dir.absolute()
    path = app_dir / "pyproject.toml"
    if not path.is_file():
        where = f"the folder '{app_dir}'" if app_dir.is_dir() else f"'{app_dir}' (no such folder)"
        raise ConfigError(
            f"There is no pyproject.toml in {where}",
            hint="Give the folder of an app, or make one with: flwr new my-app --framework numpy",
        )
    problems = Problems(read_toml(path))
    name = _required_text(problems, ("project",), "name")
    version = _required_text(problems, ("project",), "version")
    if name and not _NAME.fullmatch(name):
        problems.add(
            ("project", "name"),
            f"'{name}' must start with a letter and hold letters, digits, '-' and '_' only",
        )
    publisher = _required_text(problems, _APP, "publisher")
    _near_misses(problems, _APP, _APP_KEYS)
    _presentation(problems)
    _near_misses(problems, _COMPONENTS, _COMPONENT_KEYS)
    references = {key: _component(problems, key) for key in ("serverapp", "clientapp")}
    run_config = _run_config(problems)
    federations, default = _federations(problems)
    problems.raise_if_any("app configuration")
    return AppConfig(
        app_dir, name, version, publisher, **references,
        run_config=run_config, federations=federations, default_federation=default,
    )  # fmt: skip


def read_federations(app_dir: Path) -> AppFederations:
    """Read the federations of the ``pyproject.toml`` in a folder, and nothing else of it.

    Commands about runs need no app that is whole, and work in any folder.

    Raises
    ------
    ConfigError
        If the file is not TOML, or anything about the federations is wrong.
    """
    path = app_dir.absolute() / "pyproject.toml"
    if not path.is_file():
        return AppFederations({}, None)
    problems = Problems(read_toml(path))
    federations, default = _federations(problems)
    problems.raise_if_any("federations")
    return AppFederations(federations, default)


def _table(problems: Problems, key: Key) -> dict[str, Any]:
    """Return the table at `key`; an empty one if it is missing or, which is noted, no table."""
    value = problems.document.get(*key)
    if value is not None and not isinstance(value, dict):
        problems.add(key, f"must be a table; it is {value!r}")
    return value if isinstance(value, dict) else {}


def _required_text(problems: Problems, table: Key, name: str) -> str:
    """Return the text ``table.name``; note it if there is none."""
    values = problems.document.get(*table)
    value = values.get(name) if isinstance(values, dict) else None
    if isinstance(value, str) and value.strip():
        return value
    if value is not None:
        problems.add((*table, name), f"must be a text that is not empty; it is {value!r}")
    elif table == ("project",) and name in (problems.document.get("project", "dynamic") or ()):
        problems.add((*table, "dynamic"), f"'{name}' must be written out, not dynamic")
    else:
        present = nearest(name, values) if isinstance(values, dict) else None
        found = f"; found '{present}', did you mean '{name}'?" if present else ""
        problems.add((*table, present or name), f"'{name}' is missing{found}")
    return ""


def _near_misses(
    problems: Problems, table: Key, known: tuple[str, ...], cutoff: float = 0.8
) -> None:
    """Note keys that are one slip away from a known one; other foreign keys are let be."""
    values = _table(problems, table)
    for key in values:
        if key in known or any("'" + key + "'" in problem for _, problem in problems.found):
            continue
        if match := nearest(key, set(known) - set(values), cutoff=cutoff):
            problems.add((*table, key), f"unknown key; did you mean '{match}'?")


def _presentation(problems: Problems) -> None:
    """Note what is wrong with the keys of ``[tool.flwr.app]`` that only show an app."""
    table = _table(problems, _APP)
    for name in ("display-name", "color"):
        value = table.get(name, "")
        if not isinstance(value, str):
            problems.add((*_APP, name), f"must be a text; it is {value!r}")


def _component(problems: Problems, name: str) -> str:
    """Return the reference of one component; note whatever is wrong with it."""
    values = _table(problems, _COMPONENTS)
    if "agentapp" in values and name not in values:
        problems.add((*_COMPONENTS, "agentapp"), f"an app without '{name}' does not run here")
        return ""
    reference = _required_text(problems, _COMPONENTS, name)
    if reference and (wrong := check_reference(reference, problems.document.path.parent)):
        problems.add((*_COMPONENTS, name), wrong)
    return reference


def check_reference(reference: str, app_dir: Path) -> str:
    """Return what is wrong with a component reference, or an empty text. Imports nothing.

    Parameters
    ----------
    reference : str
        ``package.module:attribute``.
    app_dir : Path
        The app's folder.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        return f"'{reference}' is no reference of the form <module>:<attribute>"
    module, attribute = match["module"], match["attribute"]
    place = app_dir.joinpath(*module.split("."))
    source = place.with_suffix(".py")
    if not source.is_file():
        source = place / "__init__.py"
    if not source.is_file():
        others = _modules(app_dir)
        return f"there is no module '{module}' in the app's folder; {suggestion(module, others)}"
    try:
        names = _assigned_names(ast.parse(source.read_bytes()))
    except (SyntaxError, ValueError, OSError):
        return ""  # loading it tells more than we could here
    if attribute in names or "*" in names:
        return ""
    return f"'{source.relative_to(app_dir)}' defines no '{attribute}'" + _alike(attribute, names)


def _alike(name: str, names: set[str]) -> str:
    match = nearest(name, names)
    return f"; did you mean '{match}'?" if match else ""


def _modules(app_dir: Path) -> list[str]:
    """Return the dotted names of the modules up to two folders below `app_dir`."""
    files = [*app_dir.glob("*.py"), *app_dir.glob("*/*.py"), *app_dir.glob("*/*/*.py")]
    relative = (file.relative_to(app_dir).with_suffix("") for file in files)
    dotted = (".".join(part for part in path.parts if part != "__init__") for path in relative)
    return [name for name in dotted if name and not name.startswith(".")]


def _assigned_names(tree: ast.AST) -> set[str]:
    """Return the names that a module binds anywhere; ``*`` stands for a star import."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name.split(".")[0])
    return names


def _run_config(problems: Problems) -> UserConfig:
    """Return ``[tool.flwr.app.config]`` with dotted keys; note values of other types."""
    return read_values(_table(problems, _CONFIG), problems.add, _CONFIG)


def _federations(problems: Problems) -> tuple[dict[str, Federation], str | None]:
    """Return the federations and the default's name."""
    tables = dict(_table(problems, _FEDERATIONS))
    default = tables.pop("default", None)
    if isinstance(default, dict):  # a federation may itself be called default
        tables["default"], default = default, None
    federations = {
        name: _federation(problems, name) for name in tables if _is_table(problems, name)
    }
    if default is not None and default not in tables:
        problems.add(
            (*_FEDERATIONS, "default"),
            f"there is no federation {default!r}; {suggestion(str(default), tables)}",
        )
        default = None
    return federations, default


def _is_table(problems: Problems, name: str) -> bool:
    value = problems.document.get(*_FEDERATIONS, name)
    if not isinstance(value, dict):
        problems.add((*_FEDERATIONS, name), f"must be a table; it is {value!r}")
        return False
    return True


def _federation(problems: Problems, name: str) -> Federation:
    """Return one federation; note whatever is wrong with it."""
    key = (*_FEDERATIONS, name)
    _near_misses(problems, key, _FEDERATION_KEYS, cutoff=0.6)
    table = _table(problems, key)
    for item in (item for item in table if is_option(item)):
        problems.add((*key, item), f"an option of the simulation; write 'options.{item}'")
    address, insecure = table.get("address"), table.get("insecure", False)
    certificates = table.get("root-certificates")
    if address is not None and not isinstance(address, str):
        problems.add((*key, "address"), f"must be a text; it is {address!r}")
    if not isinstance(insecure, bool):
        problems.add((*key, "insecure"), f"must be true or false; it is {insecure!r}")
    if certificates is not None and not isinstance(certificates, str):
        problems.add((*key, "root-certificates"), f"must be a path; it is {certificates!r}")
        certificates = None
    if certificates and insecure is True:
        problems.add((*key, "root-certificates"), "cannot be used together with insecure = true")
    return Federation(
        name,
        address,
        insecure,
        problems.document.path.parent / certificates if certificates else None,
        read_options(problems, (*key, "options")),
    )


def read_options(problems: Problems, key: Key) -> SimulationOptions:
    """Return the simulation options in the table at `key`; note whatever is wrong with them."""

    def complain(name: str, text: str) -> None:
        problems.add((*key, *name.split(".")), text)

    return SimulationOptions().override(_table(problems, key), complain)
