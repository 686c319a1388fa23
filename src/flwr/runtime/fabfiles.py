"""Which files of an app's folder go into its bundle, and why the others do not."""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flwr.errors import ConfigError, FabError
from flwr.runtime.fab import PROJECT_FILE, wrong_name

if TYPE_CHECKING:
    from pathspec import PathSpec

PATTERN_KEYS = ("fab-include", "fab-exclude")
_SUFFIXES = {".py", ".toml", ".md", ".yaml", ".yml", ".json", ".jsonl"}
_ROOT_FILES = {"LICENSE", "LICENSE.md"}
_ROOT_FOLDERS = {
    "build", "eggs", "lib", "lib64", "parts", "venv", "env", "ENV", "env.bak", "venv.bak",
}  # fmt: skip
_MOST_FOLDERS = 10  # one in the other
_MOST_NAMED = 5  # files in one message
_LINK = "a link, or no plain file"
_TEST = "a test"
_IGNORED = "named by .gitignore"
_BUILT = "an environment or something built"


@dataclass(frozen=True)
class LeftOut:
    """A file or folder that is not in a FAB, and why. A folder's path ends with ``/``."""

    path: str
    why: str


@dataclass
class _Found:
    """What lies in an app's folder.

    Attributes
    ----------
    files : list of str
        What the app may consist of.
    spared : list of str
        Of a kind that FABs hold, and left out all the same: tests, what lies in environments.
    left_out : list of LeftOut
        The rest.
    """

    files: list[str] = field(default_factory=list)
    spared: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def choose_files(
    app_dir: Path, settings: dict[str, Any]
) -> tuple[tuple[str, ...], tuple[LeftOut, ...]]:
    """Return what goes into an app's FAB, sorted, and what is left out.

    Parameters
    ----------
    app_dir : Path
        The app's folder. Links in it are not followed.
    settings : dict
        ``[tool.flwr.app]``, for its patterns.

    Returns
    -------
    files : tuple of str
        POSIX paths, without ``pyproject.toml``.
    left_out : tuple of LeftOut
        A folder that is left out as a whole is one entry.

    Raises
    ------
    ConfigError
        If a pattern is none, or matches nothing, or ``.gitignore`` names ``pyproject.toml``.
    FabError
        If a file lies too deep, or has a name that cannot be unpacked everywhere.
    """
    patterns = {key: _given(settings, key) for key in PATTERN_KEYS if key in settings}
    found = _look_round(app_dir, into_environments=bool(patterns))
    matchable = [*found.files, *found.spared, PROJECT_FILE]
    specs = {key: _spec(key, lines, matchable) for key, lines in patterns.items()}
    include, exclude = (specs.get(key) for key in PATTERN_KEYS)
    chosen = []
    for name in sorted(found.files):
        if include is not None and not include.match_file(name):
            found.left_out.append(LeftOut(name, "not named by fab-include"))
        elif exclude is not None and exclude.match_file(name):
            found.left_out.append(LeftOut(name, "named by fab-exclude"))
        else:
            chosen.append(name)
    _check_depth(chosen)
    _check_names(chosen)
    return tuple(chosen), tuple(sorted(found.left_out, key=lambda each: each.path))


def _look_round(app_dir: Path, *, into_environments: bool) -> _Found:
    """Sort everything below a folder.

    Parameters
    ----------
    app_dir : Path
        The folder.
    into_environments : bool
        List what lies in environments too: a pattern may name it.
    """
    ignored, lines = _ignored(app_dir)
    whole = not any(line.startswith("!") for line in lines)  # none comes back from within
    found = _Found()
    for folder, folders, files in os.walk(app_dir, onerror=_refuse):
        at = Path(folder).relative_to(app_dir)
        for path in [at / name for name in folders]:
            why = _why_no_folder(path, app_dir)
            if why == _BUILT and into_environments:
                found.spared += _kinds_below(app_dir, path)
            if not why and whole and ignored.match_file(f"{path.as_posix()}/"):
                why = _IGNORED
            if why:
                folders.remove(path.name)
                found.left_out.append(LeftOut(f"{path.as_posix()}/", why))
        for path in [at / name for name in files]:
            _sort_file(path, app_dir, ignored, found)
    return found


def _refuse(error: OSError) -> None:
    """Raise what ``os.walk`` would pass over: a bundle without a package that nobody could read."""
    raise error


def _sort_file(path: Path, app_dir: Path, ignored: "PathSpec[Any]", found: _Found) -> None:
    text, why = path.as_posix(), _why_no_file(path, app_dir)
    is_ignored = ignored.match_file(text)
    if why == _TEST and not is_ignored:
        found.spared.append(text)
    if why or is_ignored:
        found.left_out.append(LeftOut(text, why or _IGNORED))
    elif text != PROJECT_FILE:
        found.files.append(text)


def _kinds_below(app_dir: Path, folder: Path) -> Iterator[str]:
    for at, _, files in os.walk(app_dir / folder):
        inside = Path(at).relative_to(app_dir)
        yield from ((inside / name).as_posix() for name in files if Path(name).suffix in _SUFFIXES)


def _why_no_folder(path: Path, app_dir: Path) -> str:
    name = path.name
    if name in {"__pycache__", ".flwr"}:
        return "a cache"
    if (app_dir / path).is_symlink():
        return "a link"
    if name.startswith("."):
        return "a hidden folder"
    if name.endswith(".egg") or (len(path.parts) == 1 and name in _ROOT_FOLDERS):
        return _BUILT
    return ""


def _why_no_file(path: Path, app_dir: Path) -> str:
    name, at_root = path.name, len(path.parts) == 1
    if not (app_dir / path).is_file() or (app_dir / path).is_symlink():
        return _LINK
    if at_root and name in _ROOT_FILES:
        return ""
    if path.suffix not in _SUFFIXES:
        return "not of a kind that FABs hold (code and configuration; data stays outside)"
    if name == PROJECT_FILE and not at_root:
        return f"a FAB has one {PROJECT_FILE}, the app's own"
    if path.suffix == ".py" and (name.startswith("test_") or name.endswith("_test.py")):
        return _TEST
    return ""


def _check_depth(names: Sequence[str]) -> None:
    deep = [name for name in names if name.count("/") > _MOST_FOLDERS]
    if deep:
        raise FabError(
            f"A FAB holds at most {_MOST_FOLDERS} folders one in the other; deeper: "
            + listed(deep),
            hint="Move them, or leave them out with fab-exclude in [tool.flwr.app], or .gitignore.",
        )


def _check_names(names: Sequence[str]) -> None:
    wrong = [name for name in names if wrong_name(name)]
    if wrong:
        raise FabError(
            "A FAB cannot hold files of such names: " + ", ".join(map(repr, wrong[:_MOST_NAMED])),
            hint="Rename them: without backslashes, colons, control characters, and bytes that "
            "are not UTF-8.",
        )


def listed(names: Sequence[str]) -> str:
    """Return names for a message; of many, the first."""
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(f"'{name}'" for name in names[:_MOST_NAMED]) + more


# -- patterns


def _given(settings: dict[str, Any], key: str) -> list[str]:
    patterns = settings[key]
    if not isinstance(patterns, list) or not all(isinstance(each, str) for each in patterns):
        raise ConfigError(f"tool.flwr.app.{key} must be a list of patterns; it is {patterns!r}")
    if not patterns or not all(each.strip() for each in patterns):
        raise ConfigError(
            f"tool.flwr.app.{key} is empty, or one of its patterns is",
            hint="Name files with it, or remove it.",
        )
    return patterns


def _spec(key: str, patterns: list[str], matchable: list[str]) -> "PathSpec[Any]":
    for pattern in patterns:
        one = _compiled([pattern], f"tool.flwr.app.{key}")
        if not any(map(one.match_file, matchable)):
            raise ConfigError(
                f"tool.flwr.app.{key}: no file of the app matches '{pattern}'.",
                hint="Correct the pattern or remove it. Looked at is code and configuration that "
                "no .gitignore names, outside of hidden folders and caches.",
            )
    return _compiled(patterns, f"tool.flwr.app.{key}")


def _ignored(app_dir: Path) -> "tuple[PathSpec[Any], list[str]]":
    """Return what the folder's own ``.gitignore`` names, and its lines."""
    path = app_dir / ".gitignore"
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    spec = _compiled(lines, str(path))
    if spec.match_file(PROJECT_FILE):
        raise ConfigError(f"The app's .gitignore names {PROJECT_FILE}, which a FAB must have.")
    return spec, lines


def _compiled(lines: list[str], where: str) -> "PathSpec[Any]":
    from pathspec import PathSpec

    for line in lines:  # one by one, to know which it is
        try:
            PathSpec.from_lines("gitignore", [line])
        except (ValueError, re.error) as error:
            raise ConfigError(f"{where}: '{line}' is no pattern: {error}") from error
    return PathSpec.from_lines("gitignore", lines)
