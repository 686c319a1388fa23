"""Where ``--database`` lies, and whether this process may write there."""

import os
from pathlib import Path

from flwr.errors import SettingsError

STATE_DIR_VARIABLE = "FLWR_STATE_DIR"
_COMPANIONS = ("", "-wal", "-shm", ".blobs", ".blobs/.lock")


def database_file(given: str, state_dir: str = "") -> Path:
    """Return the absolute path of a database.

    Parameters
    ----------
    given : str
        As typed. Without a slash it is a file in `state_dir`; else it is a path like any other.
    state_dir : str
        The folder that ``FLWR_STATE_DIR`` names, as container images do; empty if it names none.
    """
    is_bare = os.sep not in given and (os.altsep or os.sep) not in given
    return Path(state_dir if is_bare else "", given).absolute()


def require_writable(database: Path) -> None:
    """Check that this user may make and write a database, and what belongs to it.

    Raises
    ------
    SettingsError
        If not; it names the folder, and the command that gives it to this user.
    """
    folder = database.parent
    nearest = next(path for path in (folder, *folder.parents) if _is_there(path))
    _require_access(nearest, folder)
    for companion in _COMPANIONS:  # in this order: in a folder of others, one cannot even look
        path = Path(f"{database}{companion}")
        if _is_there(path):
            _require_access(path, folder)


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except OSError:  # Path.exists raises what a folder of another user answers
        return False
    return True


def _require_access(path: Path, folder: Path) -> None:
    if os.access(path, os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0)):
        return
    if os.statvfs(path).f_flag & os.ST_RDONLY:
        raise SettingsError(
            f"--database: {path} is on a file system that is read-only.",
            hint="Name a file elsewhere, or mount a folder there that can be written.",
        )
    user, group, owner = os.geteuid(), os.getegid(), path.stat().st_uid
    if path in folder.parents:  # not to be given away: it may be the root of all
        raise SettingsError(
            f"--database: there is no folder {folder}, and user {user} cannot make it: "
            f"{path} belongs to user {owner}.",
            hint="Make it for that user: "
            f"sudo mkdir -p {folder} && sudo chown {user}:{group} {folder} "
            "(in a container: mount a folder there).",
        )
    if owner == user:
        raise SettingsError(
            f"--database: {path} cannot be written by user {user}, though it belongs to it.",
            hint=f"Let its owner write it: chmod u+rwX {path} "
            "(in a container under SELinux: mount the folder with the option :Z).",
        )
    raise SettingsError(
        f"--database: {path} cannot be written by user {user}: it belongs to user {owner}.",
        hint=f"Give it to that user: sudo chown -R {user}:{group} {folder} "
        "(in a container: on the host, the folder that is mounted there).",
    )
