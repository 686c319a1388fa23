"""An app's ``pyproject.toml`` as plain dictionaries, as legacy code reads it."""

import tomllib
from pathlib import Path
from typing import Any

from flwr.app import ConfigRecord
from flwr.compat.constants import APP_DIR, FAB_CONFIG_FILE, FAB_HASH_TRUNCATION
from flwr.config import UserConfig, flatten_dict, fuse_dicts, home
from flwr.config.project import check_reference
from flwr.config.toml import read_toml
from flwr.runtime.fab import read_files
from flwr.runtime.runinfo import RunInfo

_APP = "tool.flwr.app"
_COMPONENTS = f"{_APP}.components"
_REQUIRED = {
    "project": ("name", "version"),
    _APP: ("publisher",),
    _COMPONENTS: ("serverapp", "clientapp"),
}
_RECOMMENDED = ("description", "license")


def get_flwr_dir(provided_path: str | None = None) -> Path:
    """Return a path as it is, or by default ``FLWR_HOME``."""
    return Path(provided_path).absolute() if provided_path else home()


def get_project_dir(
    fab_id: str, fab_version: str, fab_hash: str, flwr_dir: str | Path | None = None
) -> Path:
    """Return the folder into which an app bundle is unpacked.

    Raises
    ------
    ValueError
        If `fab_id` is not ``publisher/name``.
    """
    publisher, _, name = fab_id.partition("/")
    if not publisher or not name or "/" in name:
        raise ValueError(f"Invalid FAB ID: {fab_id}. It is <publisher>/<name>.")
    folder = f"{publisher}.{name}.{fab_version}.{fab_hash[:FAB_HASH_TRUNCATION]}"
    return get_flwr_dir(str(flwr_dir) if flwr_dir else None) / APP_DIR / folder


def get_project_config(project_dir: str | Path) -> dict[str, Any]:
    """Return what the ``pyproject.toml`` of a folder says.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ConfigError
        If it is not TOML.
    """
    path = Path(project_dir) / FAB_CONFIG_FILE
    if not path.is_file():
        raise FileNotFoundError(f"Cannot find {FAB_CONFIG_FILE} in {project_dir}")
    return dict(read_toml(path).data)


def get_fab_config(fab_file: Path | bytes) -> dict[str, Any]:
    """Return what the ``pyproject.toml`` of an app bundle says.

    Raises
    ------
    FabError
        If it is no app bundle, or a damaged one.
    """
    content = fab_file if isinstance(fab_file, bytes) else Path(fab_file).read_bytes()
    return tomllib.loads(read_files(content)[FAB_CONFIG_FILE].decode())


def get_metadata_from_config(config: dict[str, Any]) -> tuple[str, str]:
    """Return an app's ``publisher/name`` and its version.

    Raises
    ------
    KeyError
        If the configuration lacks one of them.
    """
    project, app = config["project"], config["tool"]["flwr"]["app"]
    return f"{app['publisher']}/{project['name']}", project["version"]


def get_fused_config_from_dir(project_dir: Path, override_config: UserConfig) -> UserConfig:
    """Return an app's run configuration, with dotted keys and values put in their places.

    Raises
    ------
    ValueError
        If a key is unknown.
    """
    app = _table(get_project_config(project_dir), _APP)
    return fuse_dicts(flatten_dict(app.get("config", {})), override_config)


def get_fused_config_from_fab(fab_file: Path | bytes, run: RunInfo) -> UserConfig:
    """Return the run configuration of an app bundle, with a run's own values put in their places.

    Raises
    ------
    FabError
        If it is no app bundle, or a damaged one.
    ValueError
        If a key is unknown.
    """
    app = _table(get_fab_config(fab_file), _APP)
    return fuse_dicts(flatten_dict(app.get("config", {})), run.override_config)


def get_fused_config(run: RunInfo, flwr_dir: Path | None = None) -> UserConfig:
    """Return the configuration of a run whose app is unpacked; empty if it names no app.

    Raises
    ------
    FileNotFoundError
        If the app is not there.
    ValueError
        If a key is unknown.
    """
    if not run.fab_id or not run.fab_version:
        return {}
    folder = get_project_dir(run.fab_id, run.fab_version, run.fab_hash, flwr_dir)
    return get_fused_config_from_dir(folder, run.override_config)


def user_config_to_configrecord(config: UserConfig) -> ConfigRecord:
    """Return a configuration as a record."""
    return ConfigRecord(dict(config))


def validate_config(
    config: dict[str, Any], check_module: bool = True, project_dir: str | Path | None = None
) -> tuple[bool, list[str], list[str]]:
    """Check what an app's ``pyproject.toml`` says.

    Parameters
    ----------
    config : dict
        As `get_project_config` gives it.
    check_module : bool, default True
        Whether the modules of the two components must exist and define them.
    project_dir : path, optional
        Where these lie; by default here.

    Returns
    -------
    tuple[bool, list of str, list of str]
        Whether it is valid, what is wrong, and what could be better.
    """
    valid, errors, warnings = validate_fields_in_config(config)
    if not valid:
        return valid, errors, warnings
    folder = Path(project_dir) if project_dir else Path.cwd()
    for name in _REQUIRED[_COMPONENTS]:
        reference = _table(config, _COMPONENTS)[name]
        if check_module:
            wrong = check_reference(reference, folder)
        else:
            wrong = "" if ":" in reference else f"Missing attribute in {reference}"
        if wrong:
            errors.append(f"{name}: {wrong}")
    return not errors, errors, warnings


def validate_fields_in_config(config: dict[str, Any]) -> tuple[bool, list[str], list[str]]:
    """Check that the required properties are there; see `validate_config`."""
    errors: list[str] = []
    warnings: list[str] = []
    for table, names in _REQUIRED.items():
        values = _table(config, table)
        if not values and (table != _COMPONENTS or _table(config, _APP)):
            errors.append(f"Missing [{table}] section")
        elif values:
            errors += [
                f'Property "{name}" missing in [{table}]' for name in names if name not in values
            ]
    project = _table(config, "project")
    if project:
        warnings = [
            f'Recommended property "{name}" missing in [project]'
            for name in _RECOMMENDED
            if name not in project
        ]
    try:
        flatten_dict(_table(config, f"{_APP}.config"))
    except ValueError as error:
        errors.append(f"[{_APP}.config]: {error}")
    return not errors, errors, warnings


def _table(config: dict[str, Any], path: str) -> dict[str, Any]:
    """Return a table by its dotted name; an empty one if it is missing."""
    for name in path.split("."):
        config = config.get(name) or {}
        if not isinstance(config, dict):
            return {}
    return config
