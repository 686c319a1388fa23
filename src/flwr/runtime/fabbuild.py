"""Making an app bundle (FAB) of a folder: the same files always make the same bytes."""

import contextlib
import hashlib
import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flwr.config import AppConfig, read_app
from flwr.config.toml import read_toml
from flwr.errors import ConfigError, FabError
from flwr.runtime import fabformat
from flwr.runtime.fab import (
    CONTENT_FILE,
    MOST_BYTES,
    MOST_FILES,
    PROJECT_FILE,
    fab_hash_of,
    file_name_of,
)
from flwr.runtime.fabfiles import LeftOut, choose_files

_DATE = (2024, 10, 1, 0, 0, 0)  # of every entry, as the format says
_MODE = 0o600 << 16


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
    missing : tuple of str
        Keys of ``[project]`` that are recommended and not there.
    """

    content: bytes
    fab_hash: str
    file_name: str
    app: AppConfig
    files: tuple[str, ...]
    left_out: tuple[LeftOut, ...]
    missing: tuple[str, ...]


def build(app_dir: Path) -> Fab:
    """Make the FAB of an app, in memory. The folder is left as it is.

    Files come from below the app's folder only, links are not followed, hidden folders stay
    outside, and so does what the folder's own ``.gitignore`` names, tests, and every file that is
    not Python, TOML, Markdown, YAML or JSON. ``[tool.flwr.app]`` may narrow it down further:
    ``fab-include`` to files that match one of its patterns, ``fab-exclude`` by those that do.

    Raises
    ------
    ConfigError
        If the app's ``pyproject.toml`` has problems, or a pattern matches nothing.
    FabError
        If there are too many files, they are too large or lie too deep, or have names that a FAB
        cannot hold, or cannot be read.
    """
    app = read_app(app_dir)
    document = read_toml(app.app_dir / PROJECT_FILE)
    fabformat.check(document)
    with _readable():
        names, left_out = choose_files(app.app_dir, document.data["tool"]["flwr"]["app"])
    if len(names) + 2 > MOST_FILES:
        raise FabError(f"The app has {len(names)} files; a FAB holds at most {MOST_FILES - 2}.")
    license_file = fabformat.license_file(document)
    if license_file is not None and license_file not in names:
        raise ConfigError(
            f"The licence file '{license_file}' that pyproject.toml names is not in the FAB",
            hint="Add it beside pyproject.toml; .gitignore and fab-exclude must not name it.",
        )
    with _readable():
        files = {PROJECT_FILE: _project_file(document.data), **_read(app.app_dir, names)}
    content = _archive(files)
    if len(content) > MOST_BYTES:
        raise _too_large(len(content), {name: len(each) for name, each in files.items()})
    fab_hash = fab_hash_of(content)
    return Fab(
        content=content,
        fab_hash=fab_hash,
        file_name=file_name_of(app, fab_hash),
        app=app,
        files=tuple(files),
        left_out=left_out,
        missing=fabformat.missing(document),
    )


def _read(app_dir: Path, names: Sequence[str]) -> dict[str, bytes]:
    """Return the content of files; none is read if all of them are too large."""
    sizes = {name: (app_dir / name).stat().st_size for name in names}
    if (size := sum(sizes.values())) > MOST_BYTES:
        raise _too_large(size, sizes)
    return {name: (app_dir / name).read_bytes() for name in names}


@contextlib.contextmanager
def _readable() -> Iterator[None]:
    """Name what cannot be read in the body."""
    try:
        yield
    except OSError as error:
        raise FabError(
            f"'{error.filename}' cannot be read: {error.strerror}",
            hint="Mend its permissions, or have .gitignore name it.",
        ) from error


def _too_large(size: int, sizes: dict[str, int]) -> FabError:
    largest = max(sizes, key=lambda name: sizes[name])
    return FabError(
        f"The FAB would have {size} bytes; at most {MOST_BYTES} are allowed.",
        hint=f"The largest file is '{largest}' ({sizes[largest]} bytes); leave files "
        "out with fab-exclude in [tool.flwr.app], or .gitignore.",
    )


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
