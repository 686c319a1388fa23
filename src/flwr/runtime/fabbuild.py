"""Making an app bundle (FAB) of a folder: the same files always make the same bytes."""

import hashlib
import io
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flwr.config import AppConfig, read_app
from flwr.config.toml import read_toml
from flwr.errors import ConfigError, FabError
from flwr.runtime.fab import CONTENT_FILE, MOST_BYTES, MOST_FILES, PROJECT_FILE, fab_hash_of

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

_DATE = (2024, 10, 1, 0, 0, 0)  # of every entry, as the format says
_MODE = 0o600 << 16
_SUFFIXES = {".py", ".toml", ".md", ".yaml", ".yml", ".json", ".jsonl"}
_ROOT_FILES = {"LICENSE", "LICENSE.md"}
_ROOT_FOLDERS = {
    "build", "eggs", "lib", "lib64", "parts", "venv", "env", "ENV", "env.bak", "venv.bak",
}  # fmt: skip
_MOST_FOLDERS = 10  # one in the other


@dataclass(frozen=True)
class LeftOut:
    """A file or folder that is not in a FAB, and why."""

    path: str
    why: str


@dataclass(frozen=True)
class Fab:
    """An app bundle.

    Attributes
    ----------
    content : bytes
        The archive.
    fab_hash : str
        Its SHA-256.
    file_name : str
        What to call it: publisher, name, version, the first digits of the hash, ``.fab``.
    app : AppConfig
        What the app's ``pyproject.toml`` says.
    files : tuple of str
        What is in it.
    left_out : tuple of LeftOut
        What is not.
    """

    content: bytes
    fab_hash: str
    file_name: str
    app: AppConfig
    files: tuple[str, ...]
    left_out: tuple[LeftOut, ...]


def build(app_dir: Path) -> Fab:
    """Make the FAB of an app, in memory.

    Files come from below the app's folder only, links are not followed, hidden folders stay
    outside, and so does what the folder's own ``.gitignore`` names, tests, and every file that is
    not Python, TOML, Markdown, YAML or JSON. ``[tool.flwr.app]`` may narrow it down further:
    ``fab-include`` to files that match one of its patterns, ``fab-exclude`` by those that do.

    Raises
    ------
    ConfigError
        If the app's ``pyproject.toml`` has problems, or a pattern matches nothing.
    FabError
        If there are too many files, or they are too large.
    """
    app = read_app(app_dir)
    document = read_toml(app.app_dir / PROJECT_FILE).data
    left_out: list[LeftOut] = []
    settings = document["tool"]["flwr"]["app"]
    names = _chosen(sorted(_candidates(app.app_dir, left_out)), settings, left_out)
    if len(names) + 2 > MOST_FILES:
        raise FabError(f"The app has {len(names)} files; a FAB holds at most {MOST_FILES - 2}.")
    files = {PROJECT_FILE: _project_file(document)}
    for name in names:
        files[name] = (app.app_dir / name).read_bytes()
    content = _archive(files)
    if len(content) > MOST_BYTES:
        largest = max(files, key=lambda name: len(files[name]))
        raise FabError(
            f"The FAB would have {len(content)} bytes; at most {MOST_BYTES} are allowed.",
            hint=f"The largest file is '{largest}' ({len(files[largest])} bytes); leave files "
            "out with fab-exclude in [tool.flwr.app], or .gitignore.",
        )
    fab_hash = fab_hash_of(content)
    stem = f"{app.publisher}.{app.name}.{app.version.replace('.', '-')}"
    return Fab(content, fab_hash, f"{stem}.{fab_hash[:8]}.fab", app, tuple(files), tuple(left_out))


def _candidates(app_dir: Path, left_out: list[LeftOut]) -> Iterator[str]:
    """Yield the POSIX paths of the files that an app may consist of."""
    ignored = _patterns(_ignore_lines(app_dir))
    if ignored.match_file(PROJECT_FILE):
        raise ConfigError(f"The app's .gitignore names {PROJECT_FILE}, which a FAB must have.")
    for folder, folders, files in os.walk(app_dir):
        at = Path(folder).relative_to(app_dir)
        for name in list(folders):
            path = f"{(at / name).as_posix()}/"
            why = _why_no_folder(at / name, app_dir) or _if_ignored(ignored, path)
            if why:
                folders.remove(name)
                left_out.append(LeftOut(path, why))
        for name in files:
            path = (at / name).as_posix()
            why = _why_no_file(at / name, app_dir) or _if_ignored(ignored, path)
            if why:
                left_out.append(LeftOut(path, why))
            elif path != PROJECT_FILE:
                yield path


def _if_ignored(ignored: "GitIgnoreSpec", path: str) -> str:
    return "named by .gitignore" if ignored.match_file(path) else ""


def _why_no_folder(path: Path, app_dir: Path) -> str:
    name = path.name
    if name in {"__pycache__", ".flwr"}:
        return "a cache"
    if (app_dir / path).is_symlink():
        return "a link"
    if name.startswith("."):
        return "a hidden folder"
    if name.endswith(".egg") or (len(path.parts) == 1 and name in _ROOT_FOLDERS):
        return "an environment or something built"
    if len(path.parts) > _MOST_FOLDERS:
        return f"more than {_MOST_FOLDERS} folders deep"
    return ""


def _why_no_file(path: Path, app_dir: Path) -> str:
    name = path.name
    if not (app_dir / path).is_file() or (app_dir / path).is_symlink():
        return "a link, or no plain file"
    if name in _ROOT_FILES and len(path.parts) == 1:
        return ""
    if path.suffix not in _SUFFIXES:
        return "not of a kind that FABs hold (code and configuration; data stays outside)"
    if path.suffix == ".py" and (name.startswith("test_") or name.endswith("_test.py")):
        return "a test"
    return ""


def _chosen(names: list[str], settings: dict[str, Any], left_out: list[LeftOut]) -> list[str]:
    """Return the names that ``fab-include`` and ``fab-exclude`` leave."""
    includes = _setting(settings, "fab-include", names)
    excludes = _setting(settings, "fab-exclude", names)
    chosen = []
    for name in names:
        if includes is not None and not includes.match_file(name):
            left_out.append(LeftOut(name, "not named by fab-include"))
        elif excludes is not None and excludes.match_file(name):
            left_out.append(LeftOut(name, "named by fab-exclude"))
        else:
            chosen.append(name)
    return chosen


def _setting(settings: dict[str, Any], key: str, names: list[str]) -> "GitIgnoreSpec | None":
    patterns = settings.get(key)
    if patterns is None:
        return None
    if not isinstance(patterns, list) or not all(isinstance(each, str) for each in patterns):
        raise ConfigError(f"tool.flwr.app.{key} must be a list of patterns; it is {patterns!r}")
    for pattern in patterns:
        if not any(_patterns([pattern]).match_files(names)):
            raise ConfigError(
                f"tool.flwr.app.{key}: no file of the app matches '{pattern}'.",
                hint="Correct the pattern or remove it; only code and configuration are looked at.",
            )
    return _patterns(patterns)


def _ignore_lines(app_dir: Path) -> list[str]:
    path = app_dir / ".gitignore"
    if not path.is_file():
        return []
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def _patterns(lines: list[str]) -> "GitIgnoreSpec":
    from pathspec import GitIgnoreSpec

    return GitIgnoreSpec.from_lines(lines)


def _project_file(document: dict[str, Any]) -> bytes:
    """Write ``pyproject.toml`` anew, without federations: they are its user's, not the app's."""
    import tomli_w

    flwr = {**document["tool"]["flwr"]}
    flwr.pop("federations", None)
    return tomli_w.dumps({**document, "tool": {**document["tool"], "flwr": flwr}}).encode()


def _archive(files: dict[str, bytes]) -> bytes:
    listed = [
        f"{name},{hashlib.sha256(content).hexdigest()},{len(content) * 8}"
        for name, content in files.items()
    ]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in {**files, CONTENT_FILE: "\n".join(listed).encode()}.items():
            entry = zipfile.ZipInfo(name, _DATE)
            entry.external_attr = _MODE
            archive.writestr(entry, content)
    return buffer.getvalue()
