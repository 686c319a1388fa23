"""Objects of a hub: who may know of them, and when they go."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from blake3 import blake3
from hub_desk import Desk

from flwr.errors import ObjectNotFoundError, RunStateError, WrongHashError
from flwr.store import RunEvent
from flwr.store.hubrecords import NewBody, Principal

MODEL = b"model " * 20_000
UPDATE = b"update " * 20_000
HOUR = 3600.0


def names(desk: Desk) -> list[str]:
    return desk.store.blobs.ids()


def read(desk: Desk, who: Principal, object_id: str) -> bytes:
    file, size = desk.do(desk.store.open_object(who, object_id))
    try:
        return os.pread(file, size, 0)
    finally:
        os.close(file)


def of_run(run_id: int) -> Principal:
    return Principal("run", run_id)


def of_node(node_id: int) -> Principal:
    return Principal("node", node_id)


# --- who may -----------------------------------------------------------------------------------


def test_an_object_is_read_by_whoever_uploaded_it_and_by_whoever_it_was_sent_to(
    desk: Desk,
) -> None:
    run_id, other_run, node, other = desk.run(), desk.run(), desk.node("a"), desk.node("b")
    model = desk.content(of_run(run_id), MODEL)
    (ref,) = model.objects
    desk.put(run_id, node.node_id, "m1", body=model)
    assert read(desk, of_run(run_id), ref.object_id) == MODEL
    assert read(desk, of_node(node.node_id), ref.object_id) == MODEL
    for stranger in (of_run(other_run), of_node(other.node_id)):
        assert desk.do(desk.store.object_offset(stranger, ref.object_id, desk.now)) == 0
        with pytest.raises(ObjectNotFoundError, match=ref.object_id):
            read(desk, stranger, ref.object_id)

    update = desk.content(of_node(node.node_id), UPDATE)
    assert not desk.reads(of_run(run_id), update.objects[0].object_id)
    desk.answer(node.node_id, run_id, "m1", body=update)
    assert read(desk, of_run(run_id), update.objects[0].object_id) == UPDATE
    assert not desk.reads(of_node(other.node_id), update.objects[0].object_id)


def test_nobody_refers_to_an_object_by_its_name_alone(desk: Desk) -> None:
    run_id, other_run, node, other = desk.run(), desk.run(), desk.node("a"), desk.node("b")
    desk.put(run_id, node.node_id, "m0")
    model, update = desk.content(of_run(run_id), MODEL), desk.content(of_node(node.node_id), UPDATE)
    with pytest.raises(ObjectNotFoundError, match="Upload it first"):
        desk.put(other_run, node.node_id, "stolen", body=model)
    with pytest.raises(ObjectNotFoundError):
        desk.checkpoint(other_run, 0, state=model)
    desk.put(run_id, other.node_id, "m1")
    given = desk.answer(other.node_id, run_id, "m1", body=update)
    assert (given.accepted, given.missing) == ((), ("m1",))
    assert desk.leased(other) == ["m1"]
    update = desk.content(of_node(other.node_id), UPDATE)  # it has the bytes: it may
    assert desk.answer(other.node_id, run_id, "m1", body=update).accepted == ("m1",)


def test_a_node_sends_back_what_it_was_sent_without_uploading_it(desk: Desk) -> None:
    run_id, node = desk.run(), desk.node()
    model = desk.content(of_run(run_id), MODEL)
    desk.put(run_id, node.node_id, "m1", body=model)
    assert desk.reads(of_node(node.node_id), model.objects[0].object_id)
    reply = NewBody.of(b"frozen layers", [model.objects[0]])
    assert desk.answer(node.node_id, run_id, "m1", body=reply).accepted == ("m1",)


@pytest.mark.parametrize("size", [len(MODEL) - 1, len(MODEL) + 1])
def test_an_object_of_another_size_is_not_there(desk: Desk, size: int) -> None:
    run_id, node = desk.run(), desk.node()
    object_id = desk.upload(of_run(run_id), MODEL)
    with pytest.raises(ObjectNotFoundError, match=f"{size} bytes"):
        desk.put(run_id, node.node_id, "m1", body=NewBody.of(b"head", [(object_id, size)]))


def test_a_content_is_refused_whole_if_one_of_its_objects_is_not_there(desk: Desk) -> None:
    run_id, node = desk.run(), desk.node()
    object_id = desk.upload(of_run(run_id), MODEL)
    absent = ("ab" * 32, 100)
    body = NewBody.of(b"head", [(object_id, len(MODEL)), absent])
    with pytest.raises(ObjectNotFoundError, match="abab"):
        desk.put(run_id, node.node_id, "m1", body=body)
    assert desk.leased(node) == []


# --- when they go ------------------------------------------------------------------------------


def test_an_object_goes_with_the_last_message_that_refers_to_it(desk: Desk) -> None:
    run_id, nodes = desk.run(), [desk.node(name) for name in "abc"]
    model = desk.content(of_run(run_id), MODEL)
    ids = [f"m{place}" for place in range(3)]
    for node, id_ in zip(nodes, ids, strict=True):
        desk.put(run_id, node.node_id, id_, body=model)
        desk.answer(node.node_id, run_id, id_)
    for step, id_ in enumerate(ids):
        assert names(desk) == [model.objects[0].object_id]
        desk.checkpoint(run_id, step, [id_])
    assert names(desk) == []
    assert not desk.reads(of_run(run_id), model.objects[0].object_id)


def test_each_round_leaves_only_its_checkpoint(desk: Desk) -> None:
    run_id, nodes = desk.run(), [desk.node(name) for name in "ab"]
    run = of_run(run_id)
    for step in range(4):
        model = desk.content(run, MODEL + bytes([step]))
        desk.checkpoint(run_id, 2 * step, state=model)
        ids = [f"{step}-{place}" for place in range(2)]
        for node, id_ in zip(nodes, ids, strict=True):
            desk.put(run_id, node.node_id, id_, body=model)
            update = desk.content(of_node(node.node_id), UPDATE + id_.encode())
            desk.answer(node.node_id, run_id, id_, body=update)
        assert len(names(desk)) == 3
        desk.checkpoint(run_id, 2 * step + 1, ids, state=model)
        assert names(desk) == [model.objects[0].object_id]
    desk.do(desk.store.end_run(run_id, RunEvent.COMPLETE, "", 0, desk.now))
    assert names(desk) == []


def test_an_object_of_two_runs_stays_until_both_have_ended(desk: Desk) -> None:
    runs, node = [desk.run(), desk.run()], desk.node()
    for run_id in runs:
        desk.put(run_id, node.node_id, f"m{run_id}", body=desk.content(of_run(run_id), MODEL))
    assert len(names(desk)) == 1
    desk.do(desk.store.end_run(runs[0], RunEvent.STOP, "", 0, desk.now))
    assert desk.reads(of_run(runs[1]), names(desk)[0])
    assert not desk.reads(of_run(runs[0]), names(desk)[0])
    desk.do(desk.store.end_run(runs[1], RunEvent.STOP, "", 0, desk.now))
    assert names(desk) == []


def test_what_another_run_has_just_uploaded_outlives_the_end_of_this_one(desk: Desk) -> None:
    ended, live, node = desk.run(), desk.run(), desk.node()
    model = desk.content(of_run(ended), MODEL)
    desk.put(ended, node.node_id, "m1", body=model)
    model = desk.content(of_run(live), MODEL)  # and has not referred to yet
    desk.do(desk.store.end_run(ended, RunEvent.STOP, "", 0, desk.now))
    desk.put(live, node.node_id, "m2", body=model)
    assert read(desk, of_node(node.node_id), model.objects[0].object_id) == MODEL


def test_what_was_probed_is_kept_for_the_content_that_follows(desk: Desk) -> None:
    run_id, node = desk.run(), desk.node()
    model = desk.content(of_run(run_id), MODEL)
    desk.put(run_id, node.node_id, "m1", body=model)
    desk.answer(node.node_id, run_id, "m1")
    assert desk.reads(of_run(run_id), model.objects[0].object_id)  # "it need not be uploaded"
    desk.checkpoint(run_id, 0, ["m1"])
    desk.put(run_id, node.node_id, "m2", body=model)
    desk.answer(node.node_id, run_id, "m2")
    desk.checkpoint(run_id, 1, ["m2"])
    assert names(desk) == []


def test_what_was_probed_for_a_message_that_is_known_goes_with_the_message(desk: Desk) -> None:
    run_id, node = desk.run(), desk.node()
    model = desk.content(of_run(run_id), MODEL)
    desk.put(run_id, node.node_id, "m1", body=model)
    assert desk.reads(of_run(run_id), model.objects[0].object_id)  # by the next attempt, say
    assert desk.put(run_id, node.node_id, "m1", body=model).known == ("m1",)
    desk.checkpoint(run_id, 0, ["m1"])
    assert names(desk) == []


def test_the_end_of_a_run_takes_all_objects_along_those_of_a_context_that_is_kept_too(
    desk: Desk,
) -> None:
    run_id, node = desk.run(), desk.node()
    run = of_run(run_id)
    desk.upload(run, b"never referred to")
    desk.put(run_id, node.node_id, "m1", body=desk.content(run, MODEL))
    desk.answer(node.node_id, run_id, "m1", body=desk.content(of_node(node.node_id), UPDATE))
    desk.checkpoint(run_id, 0, context=desk.content(run, b"large context"))
    desk.do(desk.store.begin_upload(run, "ab" * 32, 10)).close()
    context = desk.content(run, b"large context at the end")
    desk.do(desk.store.end_run(run_id, RunEvent.COMPLETE, "", 0, desk.now, context=context))
    assert names(desk) == []
    assert list((desk.store.blobs.path / "partial").iterdir()) == []
    assert desk.do(desk.store.restore(run_id, 0)) is None


def test_objects_of_a_reply_that_nobody_wants_go_at_once(desk: Desk) -> None:
    run_id, other_run, node = desk.run(), desk.run(), desk.node()
    desk.put(run_id, node.node_id, "m1")
    desk.put(other_run, node.node_id, "m2")
    update = desk.content(of_node(node.node_id), UPDATE)
    desk.do(desk.store.end_run(run_id, RunEvent.STOP, "", 0, desk.now))
    assert len(names(desk)) == 1  # it may be for the other run
    assert desk.answer(node.node_id, run_id, "m1", body=update).dropped == ("m1",)
    assert names(desk) == []


def test_objects_of_replies_that_never_came_go_with_the_run(desk: Desk) -> None:
    run_id, other_run = desk.run(), desk.run()
    idle, busy = of_node(desk.node("a").node_id), of_node(desk.node("b").node_id)
    for node, id_ in ((idle, "m1"), (busy, "m2")):
        desk.put(run_id, node.id, id_)
    desk.put(other_run, busy.id, "m3")
    desk.upload(idle, UPDATE)
    desk.do(desk.store.begin_upload(idle, "ab" * 32, 10)).close()
    coming = desk.content(busy, MODEL)
    desk.do(desk.store.end_run(run_id, RunEvent.STOP, "", 0, desk.now))
    assert names(desk) == [coming.objects[0].object_id]
    assert list((desk.store.blobs.path / "partial").iterdir()) == []
    assert desk.answer(busy.id, other_run, "m3", body=coming).accepted == ("m3",)


def test_what_is_uploaded_or_probed_after_its_message_ended_does_not_stay(desk: Desk) -> None:
    run_id, other_run, node = desk.run(), desk.run(), of_node(desk.node().node_id)
    desk.put(run_id, node.id, "m1")
    model = desk.content(of_run(other_run), MODEL)
    desk.upload(node, MODEL)
    update = desk.do(desk.store.begin_upload(node, blake3(UPDATE).hexdigest(), len(UPDATE)))
    update.write(UPDATE)
    desk.answer(node.id, run_id, "m1")
    desk.do(desk.store.admit(update, node, desk.now))
    assert names(desk) == [model.objects[0].object_id]
    assert desk.reads(node, names(desk)[0])
    desk.do(desk.store.end_run(run_id, RunEvent.STOP, "", 0, desk.now))
    desk.do(desk.store.end_run(other_run, RunEvent.STOP, "", 0, desk.now))
    assert names(desk) == []


def test_a_node_that_has_nothing_to_answer_uploads_nothing(desk: Desk) -> None:
    node = of_node(desk.node().node_id)
    with pytest.raises(RunStateError, match=f"Node {node.id} has no message to answer"):
        desk.upload(node, UPDATE)


def test_a_reply_that_comes_again_leaves_its_objects_where_they_are(desk: Desk) -> None:
    run_id, node = desk.run(), desk.node()
    desk.put(run_id, node.node_id, "m1")
    update = desk.content(of_node(node.node_id), UPDATE)
    for _ in range(2):
        assert desk.answer(node.node_id, run_id, "m1", body=update).accepted == ("m1",)
    assert read(desk, of_run(run_id), update.objects[0].object_id) == UPDATE


def test_an_upload_without_any_reference_is_kept_for_an_hour(desk: Desk) -> None:
    run_id, node = desk.run(), desk.node()
    kept = desk.content(of_run(run_id), MODEL)
    desk.put(run_id, node.node_id, "m1", body=kept)
    orphan = desk.upload(of_node(node.node_id), UPDATE)
    desk.do(desk.store.sweep(desk.now + HOUR - 1.0))
    assert orphan in names(desk)
    desk.do(desk.store.sweep(desk.now + HOUR + 1.0))
    assert names(desk) == [kept.objects[0].object_id]


def test_probing_an_orphan_keeps_it_for_another_hour(desk: Desk) -> None:
    node = of_node(desk.node().node_id)
    desk.put(desk.run(), node.id, "m1")
    orphan = desk.upload(node, UPDATE)
    desk.now += 0.9 * HOUR
    assert desk.reads(node, orphan)
    desk.do(desk.store.sweep(desk.now + 0.9 * HOUR))
    assert names(desk) == [orphan]


def test_an_open_file_is_read_to_its_end_after_the_object_has_gone(desk: Desk) -> None:
    run_id = desk.run()
    object_id = desk.upload(of_run(run_id), MODEL)
    file, size = desk.do(desk.store.open_object(of_run(run_id), object_id))
    desk.do(desk.store.end_run(run_id, RunEvent.STOP, "", 0, desk.now))
    assert names(desk) == []
    assert os.pread(file, size, 0) == MODEL
    os.close(file)


# --- uploads -----------------------------------------------------------------------------------


def test_a_wrong_object_is_refused_and_nothing_of_it_stays(desk: Desk) -> None:
    run = of_run(desk.run())
    object_id = blake3(MODEL).hexdigest()
    upload = desk.do(desk.store.begin_upload(run, object_id, len(UPDATE)))
    upload.write(UPDATE)
    with pytest.raises(WrongHashError, match=object_id):
        desk.do(desk.store.admit(upload, run, desk.now))
    assert not desk.reads(run, object_id)
    assert desk.do(desk.store.object_offset(run, object_id, desk.now)) == 0
    assert desk.upload(run, MODEL) == object_id


def test_an_upload_goes_on_where_it_broke_off_even_in_another_process(kept: Desk) -> None:
    run, stranger = of_run(kept.run()), of_node(kept.node().node_id)
    object_id = blake3(MODEL).hexdigest()
    upload = kept.do(kept.store.begin_upload(run, object_id, len(MODEL)))
    upload.write(MODEL[:50_000])
    upload.close()
    kept.reopen()
    offset = kept.store.object_offset
    assert kept.do(offset(run, object_id, kept.now)) == 50_000
    assert kept.do(offset(stranger, object_id, kept.now)) == 0  # not even that it is coming
    assert kept.upload(run, MODEL) == object_id
    assert read(kept, run, object_id) == MODEL


def test_the_same_object_from_many_at_once_is_stored_once(desk: Desk) -> None:
    nodes = [of_node(desk.node(name).node_id) for name in "abcdef"]
    run_id = desk.run()
    for who in nodes:
        desk.put(run_id, who.id, f"m{who.id}")
    object_id = blake3(MODEL).hexdigest()

    async def upload(who: Principal) -> None:
        upload = await desk.store.begin_upload(who, object_id, len(MODEL))
        upload.write(MODEL)
        await desk.store.admit(upload, who, desk.now)

    desk.all(*(upload(who) for who in nodes))
    assert names(desk) == [object_id]
    assert all(desk.reads(who, object_id) for who in nodes)


def test_an_object_that_comes_again_while_it_goes_is_there_afterwards(desk: Desk) -> None:
    model = blake3(MODEL).hexdigest()
    node = desk.node()

    async def use_and_end(run_id: int) -> None:
        await desk.store.end_run(run_id, RunEvent.STOP, "", 0, desk.now)

    async def upload(who: Principal) -> None:
        upload = await desk.store.begin_upload(who, model, len(MODEL))
        upload.write(MODEL)
        await desk.store.admit(upload, who, desk.now)

    for _ in range(20):
        old, new = desk.run(), desk.run()
        desk.put(old, node.node_id, f"m{old}", body=desk.content(of_run(old), MODEL))
        desk.all(upload(of_run(new)), use_and_end(old))
        assert read(desk, of_run(new), model) == MODEL
        desk.do(desk.store.end_run(new, RunEvent.STOP, "", 0, desk.now))
        assert names(desk) == []


# --- at start ----------------------------------------------------------------------------------


def test_files_without_a_row_are_removed_at_start(kept: Desk) -> None:
    run_id, node = kept.run(), kept.node()
    model = kept.content(of_run(run_id), MODEL)
    kept.put(run_id, node.node_id, "m1", body=model)
    folder = kept.store.blobs.path
    (folder / ("ab" * 32)).write_bytes(b"a hub died between the file and its row")
    (folder / "gone" / "cd.1").write_bytes(b"a hub died before it gave this room back")
    old = folder / "partial" / f"{'ef' * 32}.run-1"
    old.write_bytes(b"an upload nobody went on with")
    os.utime(old, (1.0, 1.0))
    kept.reopen()
    assert names(kept) == [model.objects[0].object_id]
    assert [path for path in folder.rglob("*.*") if path.name != ".lock"] == []


def test_objects_in_memory_lie_in_a_folder_that_goes_at_the_end() -> None:
    desk = Desk(None)
    folder = desk.store.blobs.path
    desk.upload(of_run(desk.run()), MODEL)
    assert len(names(desk)) == 1
    desk.close()
    assert not folder.exists()


def test_a_folder_that_a_killed_hub_left_is_removed_by_the_next_one_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    left, lives = Desk(None), Desk(None)
    for desk in (left, lives):
        os.utime(desk.store.blobs.path / ".lock", (1.0, 1.0))
    killed = tmp_path / "flwr-objects-killed"
    shutil.copytree(left.store.blobs.path, killed)  # the same, but that nobody holds its lock
    new = Desk(None)
    assert {path.name for path in tmp_path.iterdir()} == {
        desk.store.blobs.path.name for desk in (left, lives, new)
    }
    for desk in (left, lives, new):
        desk.close()
    assert list(tmp_path.iterdir()) == []


def test_objects_lie_beside_the_database(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "deep" / "state.db")
    object_id = desk.upload(of_run(desk.run()), MODEL)
    assert (tmp_path / "deep" / "state.db.blobs" / object_id).read_bytes() == MODEL
    desk.close()
