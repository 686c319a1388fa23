"""The first cause of how a run fares, from facts."""

import pytest

from flwr.app.events import (
    Event,
    Exchange,
    ModelSpoiled,
    NodeOutcome,
    NodesAwaited,
    RoundFinished,
    RoundStarted,
    RunFinished,
)
from flwr.runtime.diagnosis import Cause, Diagnosis, diagnose, kind_of
from flwr.runtime.facts import MOST_FAILURES, Facts, OpenMessage, Told

RAISED = """ValueError: broken train
Traceback (most recent call last):
  File "/apps/tiny/client_app.py", line 20, in train
    raise ValueError('broken train')
  File "/lib/flwr/clientapp/clientapp.py", line 244, in answer
    reply = call(message, context)
            ^^^^^^^^^^^^^^^^^^^^^^"""
KILLED = (
    "WorkerCrashed: the worker process 7 was ended by SIGKILL (often the system's "
    "out-of-memory killer) while it handled this message."
)


def told(*events: Event) -> Told:
    gathered = Told()
    for event in events:
        gathered.add(event)
    return gathered


def exchange(*errors: str | None, kind: str = "train", seconds: tuple[float, ...] = ()) -> Exchange:
    times = seconds or (0.1,) * len(errors)
    outcomes = [
        NodeOutcome(number, time, error)
        for number, (time, error) in enumerate(zip(times, errors, strict=True), start=1)
    ]
    return Exchange(kind, "1", sum(times), outcomes)


def failed(details: str, *events: Event, log_tail: str = "", in_place: bool = False) -> Diagnosis:
    return diagnose(
        Facts(
            run_id=5,
            state="finished:failed",
            details=details,
            told=told(*events),
            in_place=in_place,
            log_tail=log_tail,
            names={1: "clinic"},
        )
    )


def running(
    *events: Event, open_messages: tuple[OpenMessage, ...] = (), online: int | None = None
) -> Diagnosis:
    return diagnose(
        Facts(run_id=5, state="running", told=told(*events), open=open_messages, online=online)
    )


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("ModuleNotFoundError: No module named 'torch'", Cause.IMPORT_ERROR),
        ("Cannot load the ServerApp 'a:b': the module has no 'b'", Cause.APP_NOT_LOADED),
        (KILLED, Cause.OUT_OF_MEMORY),
        ("MemoryError: ", Cause.OUT_OF_MEMORY),
        ("numpy._core._exceptions._ArrayMemoryError: Unable to allocate", Cause.OUT_OF_MEMORY),
        ("OSError: [Errno 28] No space left on device", Cause.DISK_FULL),
        ("/x/runs.db cannot grow: database or disk is full", Cause.DISK_FULL),
        ("There is no room for 4194304 bytes more", Cause.DISK_FULL),
        ("This server speaks version 2 of the protocol, not '1'.", Cause.VERSION_MISMATCH),
        ("Node 3 is offline", Cause.NODE_AWAY),
        ("9 nodes are asked for, but this simulation has 2.", Cause.NODES_MISSING),
        ("The message was not answered in time", Cause.TIMED_OUT),
        ("Message Unavailable: its time to live is over.", Cause.TIMED_OUT),
        ("Nobody answered its train messages in time.", Cause.TIMED_OUT),
        ("The model is of no use: array '0' holds NaN.", Cause.NOT_A_NUMBER),
        (
            "Expected exactly one ArrayRecord in the reply of node 1, found 0.",
            Cause.REPLIES_DO_NOT_FIT,
        ),
        ("Missing required key 'num-examples' in MetricRecord", Cause.REPLIES_DO_NOT_FIT),
        ("Array '0' in ArrayRecord 'a' of node 1 has shape (4,), that", Cause.REPLIES_DO_NOT_FIT),
        ("its process was killed by signal 9, 10 times", Cause.PROCESS_DIED),
        ("the app called sys.exit(3)", Cause.APP_EXITED),
        ("The certificate of h:1 was signed by a CA that is not known here", Cause.LINK),
        ("ValueError: broken main", None),
    ],
)
def test_kinds_of_causes(text: str, cause: Cause | None) -> None:
    assert kind_of(text) == cause


def test_the_first_node_that_failed_is_named_with_its_round_and_its_own_frames() -> None:
    found = failed(
        "All of its 2 train messages came back as errors.",
        RoundStarted(1, 3),
        exchange(RAISED, RAISED),
    )
    assert found.cause is Cause.CLIENT_APP_RAISED
    assert "node 1 (clinic) (round 1, train): ValueError: broken train" in found.headline
    assert found.evidence == (
        '  File "/apps/tiny/client_app.py", line 20, in train',
        "    raise ValueError('broken train')",
    )
    assert found.advice


def test_another_failure_is_told_only_if_it_is_another() -> None:
    all_failed = "All of its 2 train messages came back as errors."
    same = failed(all_failed, exchange(KILLED, KILLED.replace("7", "8")))
    assert same.cause is Cause.OUT_OF_MEMORY
    assert not same.evidence
    other = failed(all_failed, exchange(KILLED, "KeyError: 'x'"))
    assert other.evidence == ("Another failure, at node 2: KeyError: 'x'",)


@pytest.mark.parametrize(
    ("in_place", "side"), [(True, "this machine"), (False, "the SuperLink's machine")]
)
def test_a_module_that_the_serverapp_misses_is_named_with_its_side(
    in_place: bool, side: str
) -> None:
    details = "Cannot load the ServerApp 'a:b': ModuleNotFoundError: No module named 'torch.nn'"
    found = failed(details, in_place=in_place)
    assert found.cause is Cause.IMPORT_ERROR
    assert side in found.headline
    assert f"Install it on {side}: pip install torch " in found.advice[0]


def test_a_module_that_nodes_miss_is_named_with_them() -> None:
    error = "ModuleNotFoundError: No module named 'torch'"
    found = failed("All of its 3 messages came back as errors.", exchange(error, error, error))
    assert "on the machine of node 1 (clinic) and 2 more: pip install torch" in found.advice[0]


def test_an_exception_of_the_serverapp_has_the_frames_that_the_log_ends_with() -> None:
    log = """INFO : fine
Traceback (most recent call last):
  File "/lib/flwr/runtime/serverapp_process.py", line 32, in serve
    server_app(grid, context)
  File "/apps/tiny/server_app.py", line 21, in main
    raise ValueError('broken main')
ValueError: broken main
"""
    found = failed("ValueError: broken main", exchange(None, "KeyError: 1"), log_tail=log)
    assert found.cause is Cause.SERVER_APP_RAISED
    assert found.evidence[0] == '  File "/apps/tiny/server_app.py", line 21, in main'
    assert found.evidence[-1] == "Before that, train failed at node 2: KeyError: 1"


def test_a_serverapp_that_stumbles_over_failed_nodes_is_not_the_first_cause() -> None:
    found = failed("IndexError: list index out of range", exchange(RAISED, RAISED))
    assert found.cause is Cause.CLIENT_APP_RAISED
    assert "All of its 2 train messages came back as errors" in found.headline
    assert (
        "then the ServerApp ended: IndexError: list index out of range. "
        "The first failure was at node 1 (clinic) (train): ValueError"
    ) in found.headline
    assert "\n" not in found.headline


def test_a_chained_traceback_leads_to_the_app() -> None:
    log = """Traceback (most recent call last):
  File "/apps/tiny/server_app.py", line 2, in <module>
    import torch
ModuleNotFoundError: No module named 'torch'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/lib/flwr/runtime/load.py", line 46, in load_component
    raise AppLoadError(
flwr.errors.AppLoadError: Cannot load
"""
    found = failed("Cannot load the ServerApp 'a:b': the module is broken", log_tail=log)
    assert found.evidence == (
        '  File "/apps/tiny/server_app.py", line 2, in <module>',
        "    import torch",
    )


def test_a_disk_that_filled_up_inside_an_app() -> None:
    found = failed("OSError: [Errno 28] No space left on device: '/data/x'")
    assert found.cause is Cause.DISK_FULL
    assert "Make room" in found.advice[0]


def test_who_sent_nan_is_taken_from_the_log() -> None:
    line = "WARNING : aggregate_train: the aggregated arrays are not finite, because of node 3"
    found = failed(
        "The model is of no use: array 'w' holds NaN.",
        ModelSpoiled(2, "array 'w' holds NaN"),
        log_tail=f"a\n{line}\nb\n",
    )
    assert found.cause is Cause.NOT_A_NUMBER
    assert found.evidence == (line,)


def test_a_failure_of_which_nothing_is_known() -> None:
    assert failed("").cause is Cause.FAILED
    assert "nothing is recorded" in failed("").headline


@pytest.mark.parametrize("in_place", [True, False])
def test_a_stopped_run_says_when_and_by_what_and_what_it_waited_for(in_place: bool) -> None:
    found = diagnose(
        Facts(
            run_id=5,
            state="finished:stopped",
            details="Stopped by flwr stop",
            told=told(RoundStarted(1, 3), NodesAwaited(1, 5), RunFinished("stopped", "")),
            finished_at="2026-11-25 07:46:52Z",
            in_place=in_place,
        )
    )
    assert found.cause is Cause.STOPPED
    assert found.headline == (
        "It was stopped at 2026-11-25 07:46:52Z, after 0 of 3 rounds: Stopped by flwr stop."
    )
    waited, *whom = found.evidence
    assert waited == "It was waiting for nodes: 1 of 5 were connected."
    assert whom == ([] if in_place else ["Who did it is not recorded: there are no accounts."])


@pytest.mark.parametrize("state", ["pending", "starting"])
def test_a_run_that_has_not_begun(state: str) -> None:
    found = diagnose(Facts(run_id=5, state=state, elapsed=12.0))
    assert found.cause is Cause.STARTING
    assert "after 12 s" in found.headline


def test_missing_nodes_are_counted_now() -> None:
    found = running(NodesAwaited(1, 5), online=2)
    assert found.cause is Cause.NODES_MISSING
    assert found.headline == "It waits for nodes: 2 of 5 are connected."
    assert "Start 3 more" in found.advice[0]


def test_nodes_are_not_awaited_any_more_once_something_else_happened() -> None:
    assert running(NodesAwaited(1, 5), RoundStarted(1, 3)).cause is Cause.RUNNING


def test_a_node_that_is_away_comes_before_one_that_is_slow() -> None:
    slow = OpenMessage(1, "train", 50.0, online=True, handed_out=True)
    away = OpenMessage(2, "train", 50.0, online=False, handed_out=True)
    assert running(open_messages=(slow, away)).cause is Cause.NODE_AWAY
    found = running(open_messages=(slow,))
    assert found.cause is Cause.WAITING_FOR_REPLIES
    assert found.headline == "It waits for node 1: train, sent 50 s ago."
    assert found.evidence == ("train, sent 50 s ago: node 1 has it",)


def test_a_node_that_works_for_another_run_first() -> None:
    busy = OpenMessage(2, "train", 50.0, online=True, handed_out=False, busy_with=7)
    found = running(open_messages=(busy,))
    assert found.cause is Cause.WAITING_FOR_REPLIES
    assert found.evidence == (
        "train, sent 50 s ago: node 2 has not fetched it: it works for run 7",
    )
    assert "flwr why 7" in found.advice[0]
    assert "--max-concurrent 2" in found.advice[0]


def test_the_slowest_node_of_the_last_rounds() -> None:
    even = exchange(None, None, None, seconds=(2.0, 2.1, 2.2))
    uneven = exchange(None, None, None, seconds=(2.0, 2.0, 30.0))
    assert running(RoundStarted(4, 9), even).cause is Cause.RUNNING
    found = running(RoundStarted(4, 9), uneven, even)
    assert found.cause is Cause.SLOW_NODE
    assert "node 3 holds it up: it worked 30.0 s in round 4, train" in found.headline
    assert any("slowest node 3 with 30.00 s, median 2.00 s" in line for line in found.evidence)


def completed(*events: Event) -> Diagnosis:
    return diagnose(Facts(run_id=5, state="finished:completed", told=told(*events)))


def test_completed_runs() -> None:
    assert completed(exchange(None, None)).cause is Cause.COMPLETED
    found = completed(RoundStarted(1, 1), exchange(None, RAISED), RoundFinished(1, 1, 1.0))
    assert found.cause is Cause.COMPLETED_WITH_FAILURES
    assert "1 of 2 messages failed" in found.headline
    assert "train at node 2: ValueError: broken train" in found.headline
    assert found.evidence[0] == '  File "/apps/tiny/client_app.py", line 20, in train'


def test_many_failures_are_counted_and_not_kept() -> None:
    gathered = told(exchange(*[RAISED] * 100))
    assert gathered.failure_count == 100
    assert len(gathered.failures) == MOST_FAILURES
