"""Several processes on one file, and processes that are killed or run out of disk."""

import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest
from sample_runs import Script

from flwr.app.events import RoundFinished
from flwr.store import RunState, Store

OPEN_AT_ONCE = """
import sys
from pathlib import Path
from sample_runs import new_run
from flwr.store import Store

sys.stdin.readline()
with Store.open(Path(sys.argv[1])) as store:
    print(store.create_run(new_run()).run_id, flush=True)
"""

WRITE = """
import sys
from pathlib import Path
from sample_runs import new_run
from flwr.app.events import RoundFinished
from flwr.store import RunEvent, Store

path, runs, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
sys.stdin.readline()
with Store.open(path) as store:
    for _ in range(runs):
        run_id = store.create_run(new_run()).run_id
        store.move(run_id, RunEvent.START)
        print(run_id, flush=True)
        for number in range(1, rounds + 1):
            store.record(run_id, RoundFinished(round=number, of=rounds, seconds=0.1))
            if number % 50 == 0:
                store.flush()
        store.move(run_id, RunEvent.RUN)
        store.move(run_id, RunEvent.COMPLETE)
"""

FULL_DISK = """
import resource, sys
from pathlib import Path
from sample_runs import new_run
from flwr.app.events import RoundFinished
from flwr.errors import StoreError
from flwr.store import Store

store = Store.open(Path(sys.argv[1]))
run_id = store.create_run(new_run()).run_id
unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, unlimited[1]))
for number in range(5000):
    store.record(run_id, RoundFinished(round=number, of=5000, seconds=0.1))
try:
    store.flush()
except StoreError as error:
    print(str(error).splitlines()[0], flush=True)
if sys.argv[2] == "room again":
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
store.close()
"""


def begin(*processes: "subprocess.Popen[str]") -> None:
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


def test_many_processes_make_one_database_at_once(path: Path, script: Script) -> None:
    processes = [script(OPEN_AT_ONCE, path) for _ in range(6)]
    begin(*processes)
    created = {int(process.communicate()[0]) for process in processes}
    assert [process.returncode for process in processes] == [0] * 6
    with Store.open(path) as store:
        assert {run.run_id for run in store.runs()} == created
        assert len(created) == 6


def test_two_processes_write_at_once(path: Path, script: Script) -> None:
    processes = [script(WRITE, path, 5, 400) for _ in range(2)]
    begin(*processes)
    ids = [int(line) for process in processes for line in process.communicate()[0].split()]
    assert [process.returncode for process in processes] == [0, 0]
    with Store.open(path) as store:
        assert sorted(run.run_id for run in store.runs()) == sorted(ids)
        for run in store.runs():
            assert (run.state, run.rounds_done) == (RunState.COMPLETED, 400)
            rounds = [event.round for _, _, event in store.events(run.run_id)]  # type: ignore[union-attr]
            assert rounds == list(range(1, 401))


@pytest.mark.parametrize("runs_seen", [1, 4, 9])
def test_a_killed_writer_loses_no_run_and_leaves_a_sound_database(
    path: Path, script: Script, runs_seen: int
) -> None:
    process = script(WRITE, path, 1000, 60)
    begin(process)
    assert process.stdout is not None
    acknowledged = [int(process.stdout.readline()) for _ in range(runs_seen)]
    process.send_signal(signal.SIGKILL)
    acknowledged += [
        int(line) for line in process.communicate()[0].splitlines(True) if "\n" in line
    ]
    with Store.open(path) as store:
        found = {run.run_id: run for run in store.runs()}
        assert found.keys() >= set(acknowledged)
        for run_id in acknowledged[:-1]:
            assert found[run_id].state is RunState.COMPLETED
            assert len(store.events(run_id)) == 60
        assert found[acknowledged[-1]].state is not RunState.PENDING
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def test_a_full_disk_is_told_and_nothing_is_lost_when_there_is_room_again(
    path: Path, script: Script
) -> None:
    process = script(FULL_DISK, path, "room again")
    output, _ = process.communicate()
    assert str(path) in output
    assert process.returncode == 0
    with Store.open(path) as store:
        (run,) = store.runs()
        events = [event for _, _, event in store.events(run.run_id)]
        assert events == [RoundFinished(number, 5000, 0.1) for number in range(5000)]


def test_a_full_disk_at_the_end_is_an_error_that_counts_what_is_lost(
    path: Path, script: Script
) -> None:
    process = script(FULL_DISK, path, "full")
    _, told = process.communicate()
    assert process.returncode == 1
    assert "events were not recorded" in told
    assert str(path) in told
    with Store.open(path) as store:
        assert len(store.runs()) == 1
