"""Who a node is, and what it need not fetch again."""

import stat
import subprocess
import sys
from pathlib import Path

import pytest
from blake3 import blake3

from flwr.errors import HomeError, ParcelError, SettingsError
from flwr.supernode.cache import ObjectCache
from flwr.supernode.identity import free_identity, identity_of
from flwr.transport.parts import Body, Part


def test_a_folder_keeps_its_secret_and_shows_it_to_nobody_else(tmp_path: Path) -> None:
    with identity_of(tmp_path / "node") as first:
        secret = first.secret
    with identity_of(tmp_path / "node") as again:
        assert again.secret == secret
    assert len(secret) >= 32
    assert stat.S_IMODE((tmp_path / "node" / "secret").stat().st_mode) == 0o600


def test_a_folder_serves_one_process_at_a_time(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from flwr.supernode.identity import identity_of\n"
        "with identity_of(Path(sys.argv[1])): print('mine', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "mine\n"
    with pytest.raises(SettingsError, match="Another SuperNode"):
        identity_of(tmp_path)
    other.kill()
    other.communicate()
    with identity_of(tmp_path):
        pass


def test_slots_differ_by_hub_and_configuration_and_are_taken_in_order(tmp_path: Path) -> None:
    def take(address: str, **config: int) -> str:
        with free_identity(tmp_path, address, config) as identity:
            return identity.folder.name

    assert take("a:1", p=0) == take("a:1", p=0)
    assert len({take("a:1", p=0), take("a:1", p=1), take("b:1", p=0)}) == 3
    with free_identity(tmp_path, "a:1", {}) as one, free_identity(tmp_path, "a:1", {}) as two:
        assert one.secret != two.secret
        assert (one.folder.name[-2:], two.folder.name[-2:]) == ("-0", "-1")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeError, match="file/node"):
        identity_of(tmp_path / "file" / "node")


class Hub:
    """Gives objects, and counts how often."""

    def __init__(self, *contents: bytes) -> None:
        self.objects = {blake3(content).hexdigest(): content for content in contents}
        self.downloads: list[str] = []

    def download(self, object_id: str, into: memoryview) -> None:
        self.downloads.append(object_id)
        into[:] = self.objects[object_id]

    def body(self, *numbers: int) -> Body:
        found = list(self.objects.items())
        return Body([Part(object_id=found[n][0], nbytes=len(found[n][1])) for n in numbers])


@pytest.fixture
def hub() -> Hub:
    return Hub(*(bytes([n]) * 1000 for n in range(4)))


def fetch(cache: ObjectCache, body: Body) -> list[bytes]:
    contents = []
    for part in body.parts:
        into = bytearray(part.nbytes)
        cache.fetch(part.object_id, memoryview(into))
        contents.append(bytes(into))
    return contents


def test_what_comes_again_is_not_fetched_again(tmp_path: Path, hub: Hub) -> None:
    cache = ObjectCache(tmp_path / "objects", hub.download)
    for body in (hub.body(0, 1), hub.body(0, 2), hub.body(0, 1)):
        cache.use(1, body)
        assert fetch(cache, body) == [hub.objects[part.object_id] for part in body.parts]
    assert len(hub.downloads) == 3


def test_what_has_not_come_for_two_messages_goes(tmp_path: Path, hub: Hub) -> None:
    cache = ObjectCache(tmp_path / "objects", hub.download)
    for number in (0, 1, 2):
        cache.use(1, hub.body(number))
        fetch(cache, hub.body(number))
    expected = {part.object_id for part in hub.body(1, 2).parts}
    assert {path.name for path in cache.folder.iterdir()} == expected


def test_objects_stay_while_another_run_needs_them(tmp_path: Path, hub: Hub) -> None:
    cache = ObjectCache(tmp_path / "objects", hub.download)
    for run_id in (1, 2):
        cache.use(run_id, hub.body(0))
        fetch(cache, hub.body(0))
    cache.drop_run(1)
    assert len(list(cache.folder.iterdir())) == 1
    cache.drop_run(2)
    assert list(cache.folder.iterdir()) == []
    assert len(hub.downloads) == 1


def test_a_failed_download_is_not_kept(tmp_path: Path, hub: Hub) -> None:
    def fail(object_id: str, into: memoryview) -> None:
        raise ConnectionError(object_id)

    cache = ObjectCache(tmp_path / "objects", fail)
    cache.use(1, hub.body(0))
    with pytest.raises(ConnectionError):
        fetch(cache, hub.body(0))
    assert list(cache.folder.iterdir()) == []


def test_an_id_that_leads_elsewhere_is_refused(tmp_path: Path, hub: Hub) -> None:
    (tmp_path / "private").write_bytes(b"secret")
    cache = ObjectCache(tmp_path / "objects", hub.download)
    with pytest.raises(ParcelError):
        cache.fetch("../private", memoryview(bytearray(6)))


def test_a_new_process_begins_with_an_empty_cache(tmp_path: Path, hub: Hub) -> None:
    cache = ObjectCache(tmp_path / "objects", hub.download)
    cache.use(1, hub.body(0))
    fetch(cache, hub.body(0))
    assert list(ObjectCache(tmp_path / "objects", hub.download).folder.iterdir()) == []
