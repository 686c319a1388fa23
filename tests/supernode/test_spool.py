"""The spool: whole or not at all, whatever is killed when."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from blake3 import blake3

from flwr.errors import HomeError, ParcelError
from flwr.runtime.codec import StoredState
from flwr.supernode.spool import Spool, check_object_id
from flwr.transport.fleet import Reply
from flwr.transport.parts import Body, Part

DATA = b"x" * 200_000
OBJECT = blake3(DATA).hexdigest()
BODY = Body([Part(data=b"head"), Part(object_id=OBJECT, nbytes=len(DATA))])


def state_of(number: int) -> StoredState:
    return StoredState(f"records {number}".encode(), np.full(1000, number, np.uint8))


def same(found: StoredState | None, number: int) -> bool:
    expected = state_of(number)
    return (
        found is not None
        and found.records == expected.records
        and np.array_equal(found.frames, expected.frames)
    )


def reply(message_id: str, run_id: int = 1, body: Body | None = None) -> Reply:
    return Reply(message_id, run_id, b"meta", body, seconds=1.5)


def keep(spool: Spool, kept: Reply, state: StoredState | None, *, changed: bool) -> None:
    """Spool a reply with its object."""
    with spool.keeping():
        spool.put_object(OBJECT, memoryview(DATA))
        spool.put(kept, state, changed=changed)


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_reply_and_its_state_are_there_after_a_restart(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    keep(spool, reply("a", body=BODY), state_of(1), changed=True)
    again = Spool(tmp_path)
    assert again.replies() == [reply("a", body=BODY)]
    assert again.reply("a") == reply("a", body=BODY)
    assert again.reply("b") is None
    assert again.runs() == {1}
    assert same(again.state(1), 1)
    assert (again.objects / OBJECT).read_bytes() == DATA


def test_a_settled_reply_leaves_its_state(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    keep(spool, reply("a", body=BODY), state_of(1), changed=True)
    spool.settle("a")
    assert spool.replies() == []
    assert same(spool.state(1), 1)
    assert not list(spool.objects.iterdir())
    again = Spool(tmp_path)
    assert again.replies() == []
    assert same(again.state(1), 1)


def test_the_next_reply_tells_which_ones_are_settled(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for number in range(6):
        spool.put(reply(f"m{number}"), state_of(number), changed=number % 2 == 0)
        spool.settle(f"m{number - 1}")
    assert {r.message_id for r in Spool(tmp_path).replies()} == {"m4", "m5"}
    spool.put(reply("m6"), None, changed=False)
    assert {r.message_id for r in Spool(tmp_path).replies()} == {"m5", "m6"}


def test_files_are_written_over_and_do_not_become_more(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for number in range(50):
        spool.put(reply(f"m{number}"), state_of(number % 100), changed=True)
        spool.settle(f"m{number - 1}")
    assert len(files(tmp_path)) <= 4
    assert same(Spool(tmp_path).state(1), 49)


def test_large_files_are_not_kept_to_be_written_over(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    large = StoredState(b"records", np.zeros(2_000_000, np.uint8))
    for number in range(3):
        spool.put(reply(f"m{number}"), large, changed=True)
        spool.settle(f"m{number}")
    assert len(files(tmp_path)) == 1


def test_a_message_that_left_the_state_alone_keeps_the_older_one(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put(reply("a"), state_of(1), changed=True)
    spool.put(reply("b"), None, changed=False)
    for message_id in ("b", "a"):
        spool.settle(message_id)
    assert same(Spool(tmp_path).state(1), 1)


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_the_newest_state_counts_in_whatever_order_replies_are_settled(
    tmp_path: Path, order: str
) -> None:
    spool = Spool(tmp_path)
    spool.put(reply("a"), state_of(1), changed=True)
    spool.put(reply("b"), state_of(2), changed=True)
    assert same(Spool(tmp_path).state(1), 2)
    for message_id in order:
        spool.settle(message_id)
        assert same(spool.state(1), 2)
        assert same(Spool(tmp_path).state(1), 2)


def test_an_emptied_state_stays_empty(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.put(reply("a"), state_of(1), changed=True)
    spool.settle("a")
    spool.put(reply("b"), None, changed=True)
    assert spool.state(1) is None
    spool.settle("b")
    assert Spool(tmp_path).state(1) is None


def test_objects_stay_while_another_reply_needs_them(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    keep(spool, reply("a", body=BODY), None, changed=False)
    keep(spool, reply("b", body=BODY), None, changed=False)
    spool.settle("a")
    assert (spool.objects / OBJECT).exists()
    spool.settle("b")
    assert not list(spool.objects.iterdir())


def test_objects_of_a_reply_that_was_not_spooled_go(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with spool.keeping():
        spool.put_object(OBJECT, memoryview(DATA))
    assert files(tmp_path) == set()


def test_an_object_that_is_being_kept_is_not_taken_away_by_a_settled_reply(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with spool.keeping():
        spool.put_object(OBJECT, memoryview(DATA))
        spool.put(reply("a", body=BODY), None, changed=False)
    with spool.keeping():
        spool.put_object(OBJECT, memoryview(DATA))
        spool.settle("a")
        spool.put(reply("b", body=BODY), None, changed=False)
    assert [path.name for path in spool.objects.iterdir()] == [OBJECT]
    assert Spool(tmp_path).reply("b") == reply("b", body=BODY)


def test_nothing_of_an_ended_run_stays(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    keep(spool, reply("a", body=BODY), state_of(1), changed=True)
    spool.settle("a")
    spool.put(reply("b"), state_of(2), changed=True)
    spool.put(reply("c", run_id=2), state_of(3), changed=True)
    spool.put(reply("d"), state_of(4), changed=True)
    spool.settle("b")  # its file is free, and still holds its state
    spool.drop_run(1)
    assert len(files(tmp_path)) == 1
    assert spool.runs() == {2}


@pytest.mark.parametrize("damage", ["cut", "flip", "flip state", "empty"])
def test_a_damaged_file_is_no_reply(tmp_path: Path, damage: str) -> None:
    spool = Spool(tmp_path)
    spool.put(reply("a"), state_of(1), changed=True)
    path = tmp_path / "spool" / "1"
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[20] ^= 1
    if damage == "flip state":
        content[-1] ^= 1
    path.write_bytes({"cut": content[:-1], "empty": b""}.get(damage, content))
    again = Spool(tmp_path)
    assert again.replies() == []
    assert again.state(1) is None
    again.put(reply("b"), state_of(2), changed=True)
    assert Spool(tmp_path).replies() == [reply("b")]


def test_ids_that_are_no_file_names_are_refused(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    with pytest.raises(ParcelError, match="message"):
        spool.put(reply("../a"), None, changed=False)
    with pytest.raises(ParcelError, match="object"):
        check_object_id("../" + "a" * 61)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    (tmp_path / "spool" / "1").mkdir()
    with pytest.raises(HomeError, match="spool/1"):
        spool.put(reply("a"), None, changed=False)


_WAY = """
import itertools, os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from test_spool import BODY, keep, reply, state_of
from flwr.supernode import spoolfile
from flwr.supernode.spool import Spool

spool = Spool(Path({folder!r}))
count = itertools.count(1)

def killed_before(function):
    def wrapped(*args, **kwargs):
        if next(count) == {step}:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return wrapped

for owner, name in ((os, "open"), (os, "write"), (os, "fsync"), (os, "close"), (Path, "replace"),
                    (Path, "unlink"), (spoolfile, "_flush_content")):
    setattr(owner, name, killed_before(getattr(owner, name)))

def say(what):
    sys.stdout.write(what + "\\n")
    sys.stdout.flush()

spool.put(reply("first"), state_of(1), changed=True)
say("first put")
spool.settle("first")
say("first settled")
keep(spool, reply("second", body=BODY), state_of(2), changed=True)
say("second put")
spool.settle("second")
say("second settled")
"""


def test_killed_at_any_step_nothing_is_lost_and_nothing_is_half_there(tmp_path: Path) -> None:
    steps = 0
    while True:
        steps += 1
        folder = tmp_path / str(steps)
        program = _WAY.format(tests=str(Path(__file__).parent), folder=str(folder), step=steps)
        child = subprocess.run(
            [sys.executable, "-c", program], check=False, capture_output=True, text=True
        )
        said = child.stdout.splitlines()
        spool = Spool(folder)
        ids = {reply.message_id for reply in spool.replies()}
        if "first put" in said:
            assert same(spool.state(1), 1) or same(spool.state(1), 2)
            assert "second put" in said or "first settled" in said or "first" in ids
        if "second put" in said:
            assert same(spool.state(1), 2)
        if "second" in ids:
            assert (spool.objects / OBJECT).read_bytes() == DATA
            assert same(spool.state(1), 2)
        assert not [name for name in files(folder) if name.endswith(".new")]
        if child.returncode == 0:
            assert said[-1] == "second settled"
            assert ids == set()
            break
        assert child.returncode == -9, child.stderr
    assert steps > 20
