"""An object of more than 2 GiB, through transport and store and back."""

import mmap
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3
from hub_here import HubHere

from flwr.transport import appio
from flwr.transport.parts import Body, Part

SIZE = (2 << 30) + 12345


@pytest.mark.timeout(300)
def test_an_object_of_more_than_two_gibibytes_goes_from_app_to_node(
    start_hub: Callable[..., HubHere], tmp_path: Path
) -> None:
    hub = start_hub(database=True)
    app, node = hub.app(), hub.node()
    source = tmp_path / "object"
    with source.open("wb") as file:
        for place in (0, (1 << 31) - 2, SIZE - 4):
            file.seek(place)
            file.write(b"mark")
    hashed = blake3(max_threads=blake3.AUTO)
    hashed.update_mmap(source)
    part = Part(object_id=hashed.hexdigest(), nbytes=SIZE)

    app.link.upload(part.object_id, source)
    content = Body([Part(data=b"head"), part])
    app.link.call(appio.PUSH, appio.Push([appio.Message("m1", node.id, "train")], [content]))

    with (tmp_path / "back").open("w+b") as file:
        file.truncate(SIZE)
        with mmap.mmap(file.fileno(), SIZE) as back, memoryview(back) as view:
            node.link.download(part.object_id, view)  # which checks the hash
            assert view[SIZE - 4 :] == b"mark"
    app.finish()
    assert hub.database is not None
    kept = hub.database.with_name("state.db.blobs").rglob("*")
    assert not [path for path in kept if path.is_file() and path.stat().st_size > 1000]
