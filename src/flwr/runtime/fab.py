"""App bundles (FABs): reading and unpacking one that comes from anybody.

A FAB is a ZIP with ``pyproject.toml`` and the files of the app; ``.info/CONTENT`` lists them with
their hashes. `flwr.runtime.fabbuild` makes them.
"""

import contextlib
import hashlib
import io
import re
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from flwr.config import AppConfig, read_app
from flwr.errors import FabError

MOST_BYTES = 10 * 1024 * 1024  # of a FAB
MOST_FILES = 1000
MOST_UNPACKED = 64 * 1024 * 1024  # bytes of its files together
PROJECT_FILE = "pyproject.toml"
CONTENT_FILE = ".info/CONTENT"

_HASH_FILE = ".info/SHA256"  # ours, in the folder of an unpacked app: which FAB that was
_LONGEST_NAME = 255  # bytes of one part of a path; what file systems take
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED = 0x1
_UNREADABLE = (  # what a damaged archive comes to
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, OverflowError,
    NotImplementedError,
)  # fmt: skip
_UNSAFE = re.compile(r"[^A-Za-z0-9_.+-]")


def fab_hash_of(content: bytes) -> str:
    """Return the SHA-256 of a FAB: 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def read(content: bytes) -> AppConfig:
    """Check a FAB as a whole and return what its ``pyproject.toml`` says. None of its code is run.

    Parameters
    ----------
    content : bytes
        The FAB, from anybody.

    Returns
    -------
    AppConfig
        Its ``app_dir`` was temporary and is gone.

    Raises
    ------
    FabError
        If it is no FAB, has names that lead out of its folder, links, files that are not listed
        or are listed with another hash, or is over a limit.
    ConfigError
        If its ``pyproject.toml`` has problems: all are listed.
    """
    files = read_files(content)
    with tempfile.TemporaryDirectory(prefix="flwr-fab-") as folder:
        _write(files, Path(folder))
        return read_app(Path(folder))


def file_name_of(app: AppConfig, fab_hash: str) -> str:
    """Return what the file of a FAB is called."""
    return f"{app.publisher}.{app.name}.{app.version.replace('.', '-')}.{fab_hash[:8]}.fab"


def unpack(content: bytes, apps_dir: Path, *, anew: bool = False) -> AppConfig:
    """Put the files of a FAB into a folder of their own, unless they are there already.

    Parameters
    ----------
    content : bytes
        The FAB, from anybody.
    apps_dir : Path
        Where apps lie; made if it is missing. The folder in it is called
        ``<publisher>.<name>.<version>.<first 8 digits of the hash>``.
    anew : bool, default False
        Replace files that are there already: they may have been changed.

    Returns
    -------
    AppConfig
        What the app says of itself; ``app_dir`` is its folder.

    Raises
    ------
    FabError, ConfigError
        As for `read`; nothing is left behind.
    OSError
        If it cannot be written.
    """
    files = read_files(content)
    fab_hash = fab_hash_of(content)
    apps_dir.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=".new-", dir=apps_dir))
    try:
        _write(files, made)
        app = read_app(made)
        (made / _HASH_FILE).write_text(fab_hash)
        for folder in _folders(app, fab_hash, apps_dir):
            if anew and _holds(folder, fab_hash):
                _remove(folder)
            with contextlib.suppress(OSError):  # it is there
                made.rename(folder)
            if _holds(folder, fab_hash):
                return read_app(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    raise FabError(f"'{folder}' is in the way: it is not the app of this FAB.", hint="Remove it.")


def unpacked_at(content: bytes, app: AppConfig, apps_dir: Path) -> Path | None:
    """Return where a FAB, which was read as `app`, was unpacked before, if it was."""
    fab_hash = fab_hash_of(content)
    there = (each for each in _folders(app, fab_hash, apps_dir) if _holds(each, fab_hash))
    return next(there, None)


def changed_files(content: bytes, folder: Path) -> list[str]:
    """Return which files of a FAB are gone from its folder, or are not as they were."""
    changed = []
    for name, data in read_files(content).items():
        try:
            same = (folder / name).read_bytes() == data
        except OSError:
            same = False
        if not same:
            changed.append(name)
    return changed


def _folders(app: AppConfig, fab_hash: str, apps_dir: Path) -> Iterator[Path]:
    """Yield the folders that an app may be unpacked in: eight digits can be met on purpose."""
    stem = ".".join(_UNSAFE.sub("-", part) for part in (app.publisher, app.name, app.version))
    for digits in (8, 64):
        yield apps_dir / f"{stem.lstrip('.')[:150]}.{fab_hash[:digits]}"


def _remove(folder: Path) -> None:
    """Remove a folder so that it is never there in part."""
    away = Path(tempfile.mkdtemp(prefix=".old-", dir=folder.parent))
    try:
        folder.rename(away / folder.name)
    finally:
        shutil.rmtree(away, ignore_errors=True)


def read_files(content: bytes) -> dict[str, bytes]:
    """Return the files of a FAB by their POSIX paths, checked; ``.info/CONTENT`` is left out.

    Raises
    ------
    FabError
        As for `read`.
    """
    if len(content) > MOST_BYTES:
        raise FabError(f"The FAB has {len(content)} bytes; at most {MOST_BYTES} are allowed.")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = _checked(archive.infolist())
            files = {entry.filename: _content(archive, entry) for entry in entries}
    except _UNREADABLE as error:
        raise FabError(f"The FAB is no ZIP archive, or a damaged one: {error}") from error
    listed = files.pop(CONTENT_FILE, None)
    if listed is None or PROJECT_FILE not in files:
        missing = CONTENT_FILE if listed is None else PROJECT_FILE
        raise FabError(f"The FAB has no '{missing}'.", hint="Make it with: flwr build")
    _check_listed(listed, files)
    return files


def _checked(entries: list[zipfile.ZipInfo]) -> list[zipfile.ZipInfo]:
    """Return the files of an archive, if all of it may be unpacked; sizes are as claimed."""
    files = [entry for entry in entries if not entry.is_dir()]
    if len(entries) > MOST_FILES:
        raise FabError(f"The FAB has {len(entries)} files; at most {MOST_FILES} are allowed.")
    if (unpacked := sum(entry.file_size for entry in files)) > MOST_UNPACKED:
        raise FabError(
            f"The FAB's files come to {unpacked} bytes; at most {MOST_UNPACKED} are allowed."
        )
    names: set[str] = set()
    for entry in entries:
        if wrong := _wrong_entry(entry, names):
            raise FabError(f"The FAB holds something that {wrong}: {entry.filename!r}.")
        names.add(entry.filename)
    for entry in files:
        for above in PurePosixPath(entry.filename).parents:
            if str(above) in names:
                raise FabError(f"The FAB's {str(above)!r} is a file, and a folder too.")
    return files


def _wrong_entry(entry: zipfile.ZipInfo, names: set[str]) -> str:
    """Return why an entry may not be unpacked beside those before it, or an empty text."""
    if wrong := wrong_name(entry.filename):
        return wrong
    if stat.S_IFMT(entry.external_attr >> 16) not in {0, stat.S_IFREG, stat.S_IFDIR}:
        return "is neither file nor folder"
    if entry.flag_bits & _ENCRYPTED or entry.compress_type not in _METHODS:
        return "is encrypted, or compressed in a rare way"
    return "is there twice" if entry.filename in names else ""


def wrong_name(name: str) -> str:
    """Return why a FAB may hold nothing of that name, or an empty text."""
    parts = name.removesuffix("/").split("/")
    if name.startswith("/") or ".." in parts or ":" in parts[0] or "\\" in name:
        return "escapes the app's folder"
    if not all(parts) or "." in parts or not name.isprintable():
        return "has no proper name"
    try:
        longest = max(len(part.encode()) for part in parts)
    except UnicodeEncodeError:
        return "has no proper name"
    return "has too long a name" if longest > _LONGEST_NAME or len(name) > 1024 else ""


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    with archive.open(entry) as file:
        content = file.read(entry.file_size + 1)
    if len(content) != entry.file_size:
        raise FabError(f"The FAB's file {entry.filename!r} is longer or shorter than it says.")
    return content


def _check_listed(listed: bytes, files: dict[str, bytes]) -> None:
    """Compare files with ``.info/CONTENT``; others in ``.info`` are dropped."""
    for name in [name for name in files if name.startswith(".info/")]:
        del files[name]
    try:
        lines = [line.rsplit(",", 2) for line in listed.decode().splitlines() if line]
        hashes = {name: digest for name, digest, _bits in lines}
    except ValueError as error:
        raise FabError(f"The FAB's '{CONTENT_FILE}' is not as it should be: {error}") from error
    if unlisted := files.keys() - hashes.keys() - {PROJECT_FILE}:  # 1.18 did not list that one
        raise FabError(f"The FAB holds a file that it does not list: {min(unlisted)!r}.")
    if missing := hashes.keys() - files.keys():
        raise FabError(f"The FAB lists a file that it does not hold: {min(missing)!r}.")
    for name, digest in hashes.items():
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise FabError(f"The FAB's file {name!r} was altered: its hash is another one.")


def _write(files: dict[str, bytes], folder: Path) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / ".info").mkdir(exist_ok=True)


def _holds(folder: Path, fab_hash: str) -> bool:
    try:
        return (folder / _HASH_FILE).read_text() == fab_hash
    except OSError:
        return False
