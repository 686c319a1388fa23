"""The folder of a run, and reaping of runs whose process is gone."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sample_runs import Script, new_run

from flwr.app.events import RoundFinished
from flwr.errors import StoreError
from flwr.store import RunDir, RunEvent, RunState, Store, reap_dead_runs

LIVE_RUN = """
import os, sys
from pathlib import Path
from sample_runs import new_run
from flwr.app.events import RoundFinished
from flwr.store import RunDir, RunEvent, Store

path, runs_dir = map(Path, sys.argv[1:])
store = Store.open(path)
new = new_run()
folder = RunDir.create(runs_dir, new.run_id)
store.create_run(new)
store.move(new.run_id, RunEvent.START)
store.move(new.run_id, RunEvent.RUN)
store.record(new.run_id, RoundFinished(round=2, of=5, seconds=0.1))
store.flush()
print(new.run_id, flush=True)
if sys.stdin.readline() == "fork\\n":
    child = os.fork()
    if child:
        print(child, flush=True)
        os.kill(os.getpid(), 9)
    sys.stdin.read()  # the child outlives the run
"""


def test_a_folder_has_a_log_and_room_for_artifacts(tmp_path: Path) -> None:
    with RunDir.create(tmp_path / "runs", 7) as folder:
        assert folder.path == tmp_path / "runs" / "7"
        assert folder.log.is_file()
        assert folder.artifacts.is_dir()


def test_a_run_is_alive_while_its_lock_is_held(tmp_path: Path) -> None:
    assert not RunDir(tmp_path, 7).is_alive()
    held = RunDir.create(tmp_path, 7)
    assert RunDir(tmp_path, 7).is_alive()
    assert held.is_alive()
    held.release()
    held.release()
    assert not RunDir(tmp_path, 7).is_alive()


def test_asking_does_not_make_a_folder(tmp_path: Path) -> None:
    RunDir(tmp_path, 7).is_alive()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(StoreError, match="(?s)runs/7 cannot be written.*FLWR_HOME"):
        RunDir.create(tmp_path / "runs", 7)


def test_a_killed_run_is_reaped_with_what_is_known(path: Path, script: Script) -> None:
    process = script(LIVE_RUN, path, path.parent)
    assert process.stdout is not None
    run_id = int(process.stdout.readline())
    with Store.open(path) as store:
        assert reap_dead_runs(store, path.parent) == []
        assert store.run(run_id).state is RunState.RUNNING

        process.send_signal(signal.SIGKILL)
        process.wait()
        (reaped,) = reap_dead_runs(store, path.parent)
        assert reaped == store.run(run_id)
        assert reaped.state is RunState.FAILED
        assert reaped.finished_at == reaped.last_event_at
        assert reaped.details == (
            "Its process ended without finishing (killed?). "
            f"Last round done: 2 of 5. Last event: {reaped.last_event_at}."
        )
        assert reap_dead_runs(store, path.parent) == []


def test_a_child_that_outlives_its_run_does_not_keep_it_alive(path: Path, script: Script) -> None:
    process = script(LIVE_RUN, path, path.parent)
    assert process.stdout is not None
    assert process.stdin is not None
    run_id = int(process.stdout.readline())
    process.stdin.write("fork\n")
    process.stdin.flush()
    child = int(process.stdout.readline())
    process.wait()
    with Store.open(path) as store:
        os.kill(child, 0)  # it is there
        assert [run.run_id for run in reap_dead_runs(store, path.parent)] == [run_id]
    os.kill(child, signal.SIGKILL)


def test_a_run_that_died_before_it_told_anything(store: Store, tmp_path: Path) -> None:
    created = store.create_run(new_run())
    (reaped,) = reap_dead_runs(store, tmp_path)
    assert reaped.finished_at == created.pending_at
    assert reaped.details.endswith("Last round done: none. Last event: none.")


def test_finished_runs_and_those_of_this_process_are_let_be(store: Store, tmp_path: Path) -> None:
    finished, mine = new_run(), new_run()
    with RunDir.create(tmp_path, mine.run_id):
        for new in (finished, mine):
            store.create_run(new)
            store.move(new.run_id, RunEvent.START)
            store.move(new.run_id, RunEvent.RUN)
        store.record(mine.run_id, RoundFinished(round=1, of=2, seconds=0.1))
        store.move(finished.run_id, RunEvent.COMPLETE)
        assert reap_dead_runs(store, tmp_path) == []
        assert store.run(mine.run_id).state is RunState.RUNNING


def test_a_dead_run_is_reaped_once_by_many_who_look_at_the_same_time(
    store: Store, tmp_path: Path
) -> None:
    dead = {store.create_run(new_run()).run_id for _ in range(5)}
    with ThreadPoolExecutor(4) as pool:
        reaped = [pool.submit(reap_dead_runs, store, tmp_path) for _ in range(4)]
    found = [run.run_id for future in reaped for run in future.result()]
    assert sorted(found) == sorted(dead)
