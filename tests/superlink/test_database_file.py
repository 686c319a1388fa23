"""Where ``--database`` lies, with and without ``FLWR_STATE_DIR``, and folders of others."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from flwr.errors import SettingsError
from flwr.superlink.databasefile import database_file, require_writable

OTHER = 49999  # the user of the images
SUPERLINK = """
import os, sys
from flwr.cli.flower_superlink import run
import flwr.superlink.serve
if os.getuid() == 0:  # after the imports: that user may have no right to read the code
    os.setgroups([])
    os.setgid({other})
    os.setuid({other})
os.chdir("/")
sys.exit(run(sys.argv[1:]))
"""


@pytest.fixture
def shared() -> Iterator[Path]:
    """Return a folder that any user can reach."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.mark.parametrize(
    ("given", "state_dir", "expected"),
    [
        ("state.db", "/app/state", "/app/state/state.db"),
        ("state/state.db", "/app/state", "/app/state/state.db"),
        ("./state.db", "/app/state", "/app/state.db"),
        ("/srv/state.db", "/app/state", "/srv/state.db"),
        ("state.db", "", "/app/state.db"),
        ("state/state.db", "", "/app/state/state.db"),
        ("state.db", "kept", "/app/kept/state.db"),
    ],
)
def test_the_state_folder_is_for_bare_names_only(
    given: str, state_dir: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getcwd", lambda: "/app")  # the images' working directory
    assert database_file(given, state_dir) == Path(expected)


def test_folders_that_are_not_there_yet_can_be_made(tmp_path: Path) -> None:
    require_writable(tmp_path / "new" / "newer" / "state.db")


def test_a_read_only_file_system_is_no_matter_of_owners(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = os.statvfs(tmp_path)
    read_only = os.statvfs_result([*facts[:8], os.ST_RDONLY, facts[9]])
    monkeypatch.setattr(os, "access", lambda *_: False)
    monkeypatch.setattr(os, "statvfs", lambda *_: read_only)
    with pytest.raises(SettingsError, match="on a file system that is read-only"):
        require_writable(tmp_path / "state.db")


def test_a_bare_name_lands_in_the_state_folder(shared: Path) -> None:
    state = shared / "state"
    state.mkdir(mode=0o777)
    state.chmod(0o777)
    ended = superlink(shared, "state.db", state)
    assert "address" in ended.stderr.lower(), ended  # nothing but that keeps it from serving
    assert (state / "state.db").is_file()
    assert (state / "state.db.blobs").is_dir()
    assert ended.returncode == 1


ROOT_ONLY = pytest.mark.skipif(os.getuid() != 0, reason="makes files of another user")


@ROOT_ONLY
@pytest.mark.parametrize("what", ["folder", "closed folder", "database", "blobs"])
def test_what_belongs_to_another_user_ends_it_with_the_command_that_helps(
    what: str, shared: Path
) -> None:
    state = shared / "state"
    state.mkdir()
    blobs = state / "state.db.blobs"
    blobs.mkdir(mode=0o700)
    (blobs / ".lock").touch()
    (state / "state.db").touch(mode=0o600)
    for path in (state, blobs, blobs / ".lock", state / "state.db"):
        os.chown(path, OTHER, OTHER)
    refused = {"database": state / "state.db", "blobs": blobs}.get(what, state)
    os.chown(refused, 0, 0)
    state.chmod(0o700 if what == "closed folder" else 0o755)
    ended = superlink(shared, "state.db", state)
    assert ended.returncode == 1
    assert f"{refused} cannot be written by user {OTHER}: it belongs to user 0." in ended.stderr
    assert f"sudo chown -R {OTHER}:{OTHER} {state} (in a container" in ended.stderr
    assert ended.stderr.count("Exit Code: 104") == 1
    assert "Traceback" not in ended.stderr


@ROOT_ONLY
def test_nobody_is_told_to_give_away_the_folder_above(shared: Path) -> None:
    wanted = shared / "new" / "newer"
    ended = superlink(shared, str(wanted / "state.db"), shared)
    assert ended.returncode == 1
    assert f"there is no folder {wanted}, and user {OTHER} cannot make it" in ended.stderr
    assert f"sudo mkdir -p {wanted} && sudo chown {OTHER}:{OTHER} {wanted}" in ended.stderr
    assert "chown -R" not in ended.stderr


@pytest.mark.parametrize("existing", [False, True])
def test_of_ones_own_folder_it_is_the_mode_or_selinux(existing: bool, shared: Path) -> None:
    state = shared / "state"
    state.mkdir()
    if existing:
        (state / "state.db").touch(mode=0o400)
    if os.getuid() == 0:
        for path in (state, *state.iterdir()):
            os.chown(path, OTHER, OTHER)
    state.chmod(0o555)
    ended = superlink(shared, "state.db", state)
    assert ended.returncode == 1
    assert f"{state} cannot be written by user" in ended.stderr
    assert f"chmod u+rwX {state} (in a container under SELinux" in ended.stderr
    assert "Traceback" not in ended.stderr


def superlink(folder: Path, database: str, state: Path) -> subprocess.CompletedProcess[str]:
    """Start a SuperLink that cannot listen, as the images' user if this one is root."""
    home = folder / "home"
    home.mkdir()
    home.chmod(0o777)
    options = ["--insecure", "--fleet-api-address=192.0.2.1:9092", f"--database={database}"]
    return subprocess.run(
        [sys.executable, "-c", SUPERLINK.format(other=OTHER), *options],
        env={**os.environ, "FLWR_STATE_DIR": str(state), "FLWR_HOME": str(home)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
