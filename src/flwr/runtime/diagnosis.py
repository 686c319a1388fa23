"""What is the matter with a run: a pure decision, from facts to the first cause.

`flwr run` says it when a run has failed, and `flwr why` at any time; both ask `diagnose`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from flwr.runtime.facts import Facts, NodeFailure, OpenMessage, Pace

_MOST_LINES = 8  # of a traceback
_SLOW = 3.0  # times the median: such a node holds up the others
_NOTICEABLE = 1.0  # seconds; quicker rounds are not slow
_QUIET = 30.0  # seconds without news, after which a run is said to be quiet


class Cause(StrEnum):
    """Kinds of causes, as programs read them."""

    COMPLETED = "completed"
    COMPLETED_WITH_FAILURES = "completed-with-failures"
    STOPPED = "stopped"
    STARTING = "starting"
    RUNNING = "running"
    NODES_MISSING = "nodes-missing"
    NODE_AWAY = "node-away"
    SLOW_NODE = "slow-node"
    WAITING_FOR_REPLIES = "waiting-for-replies"
    IMPORT_ERROR = "import-error"
    APP_NOT_LOADED = "app-not-loaded"
    OUT_OF_MEMORY = "out-of-memory"
    PROCESS_DIED = "process-died"
    DISK_FULL = "disk-full"
    VERSION_MISMATCH = "version-mismatch"
    LINK = "link"
    NOT_A_NUMBER = "not-a-number"
    REPLIES_DO_NOT_FIT = "replies-do-not-fit"
    TIMED_OUT = "timed-out"
    APP_EXITED = "app-exited"
    CLIENT_APP_RAISED = "client-app-raised"
    SERVER_APP_RAISED = "server-app-raised"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """The first cause.

    Attributes
    ----------
    cause : Cause
        Of which kind it is.
    headline : str
        What it is, in a sentence or two, and in one line.
    evidence : tuple of str
        What shows it: the end of a traceback, rounds, nodes.
    advice : tuple of str
        What can be done.
    """

    cause: Cause
    headline: str
    evidence: tuple[str, ...] = ()
    advice: tuple[str, ...] = ()

    def text(self) -> str:
        """Return headline and evidence, a line each."""
        return "\n".join([self.headline, *(f"  {line}" for line in self.evidence)])


_NOT_LOADED = r"Cannot load the (?:ServerApp|ClientApp)|is not in the app's folder"
# The first that is found in what is said of a failure counts.
_KINDS: tuple[tuple[str, Cause], ...] = (
    (r"ModuleNotFoundError|ImportError|No module named", Cause.IMPORT_ERROR),
    (_NOT_LOADED, Cause.APP_NOT_LOADED),
    (r"MemoryError|SIGKILL|out of memory|OutOfMemory", Cause.OUT_OF_MEMORY),
    (r"No space left|cannot grow|no room|disk is full|Disk quota|File too large", Cause.DISK_FULL),
    (r"speaks? version|protocol version|another version of the protocol", Cause.VERSION_MISMATCH),
    (r"is offline|There is no node \d", Cause.NODE_AWAY),
    (r"nodes are asked for, but", Cause.NODES_MISSING),
    (r"answered in time|Nobody answered|time to live is over|reply in time", Cause.TIMED_OUT),
    (r"holds NaN|not finite| is nan\b", Cause.NOT_A_NUMBER),
    (
        (
            r"Expected exactly one \w+Record|Missing required key|All (?:nodes|replies) must|"
            r"a weight must be|the weight must be|of node \d+ (?:lacks|adds|has|have)|"
            r"InconsistentMessageReplies|AggregationError|shape.* of node \d"
        ),
        Cause.REPLIES_DO_NOT_FIT,
    ),
    (r"killed by signal|its process (?:was|ended)|Its process ended", Cause.PROCESS_DIED),
    (r"sys\.exit|SystemExit", Cause.APP_EXITED),
    (r"speaks (?:TLS|plain)|connection refused|is not known|was signed by a CA", Cause.LINK),
)
_ALL_FAILED = re.compile(r"^All of its \d+ (?:\w+ )?messages came back as errors\.")
_OWN_FILE = re.compile(
    r"[/\\]flwr[/\\](?:app|cli|clientapp|compat|runtime|serverapp|simulation|wire)[/\\]"
    r"|importlib[/\\]__init__|<frozen "
)
_CHAINED = re.compile(r"(?:the direct cause of the following|During handling of the above)")
_NUMBER = re.compile(r"\d+")
_MODULE = re.compile(r"No module named '([^'.]+)")

_ADVICE = {
    Cause.APP_NOT_LOADED: "Mend the app, or serverapp and clientapp in its pyproject.toml.",
    Cause.OUT_OF_MEMORY: "Have fewer clients work at the same time on that machine, or train with "
    "smaller batches or a smaller model. The system's log tells what was killed: dmesg.",
    Cause.DISK_FULL: "Make room on that disk, then run again.",
    Cause.VERSION_MISMATCH: "Install the same version on both sides.",
    Cause.NODE_AWAY: "Start that node again (flower-supernode), then run again.",
    Cause.NODES_MISSING: "Start more nodes, or lower min_available_nodes of the strategy.",
    Cause.TIMED_OUT: "Give messages more time (ttl, or timeout of the strategy), or the nodes less "
    "work.",
    Cause.NOT_A_NUMBER: "Look at that node's data and learning rate, clip its gradients, or leave "
    "such models out (nan_policy of the strategy).",
    Cause.REPLIES_DO_NOT_FIT: "All nodes have to send the same records: mend the ClientApp.",
    Cause.PROCESS_DIED: "Look for what ended it. Signal 9 is often the system's out-of-memory "
    "killer: its log tells (dmesg).",
    Cause.LINK: "flwr doctor tells which part of the connection is wrong.",
}


def diagnose(facts: Facts) -> Diagnosis:
    """Return the first cause of how a run fares."""
    status, _, sub_status = facts.state.partition(":")
    if status != "finished":
        return _of_live(facts)
    if sub_status == "completed":
        return _of_completed(facts)
    if sub_status == "stopped":
        return Diagnosis(
            Cause.STOPPED,
            f"It was stopped{_at(facts)} after {_rounds(facts)}: "
            f"{facts.details or 'nobody said why'}.",
            (*_awaited(facts), *_failures_so_far(facts), *_by_whom(facts)),
        )
    return _of_failed(facts)


def _at(facts: Facts) -> str:
    return f" at {facts.finished_at}," if facts.finished_at else ""


def _by_whom(facts: Facts) -> tuple[str, ...]:
    return () if facts.in_place else ("Who did it is not recorded: there are no accounts.",)


def _awaited(facts: Facts) -> tuple[str, ...]:
    if facts.told.awaited is None:
        return ()
    connected, count = facts.told.awaited
    return (f"It was waiting for nodes: {connected} of {count} were connected.",)


# --- runs that have failed -----------------------------------------------------------------------


def _of_failed(facts: Facts) -> Diagnosis:
    first = facts.told.failures[0] if facts.told.failures else None
    all_failed = _ALL_FAILED.match(facts.details)
    if first is not None and all_failed:
        return _of_client(facts, first, all_failed[0])
    if first is not None:
        kind = first.message_type.partition(".")[0]
        messages, failures = facts.told.by_kind[kind]
        if messages == failures:  # the ServerApp could do nothing with that
            then = facts.details.partition("\n")[0]
            all_of_them = f"All of its {messages} {kind} messages came back as errors"
            return _of_client(facts, first, f"{all_of_them}; then the ServerApp ended: {then}")
    cause = kind_of(facts.details.partition("\n")[0]) or _kind_in_log(facts) or _raised(facts)
    evidence = [*_traceback(facts)]
    if cause is Cause.NOT_A_NUMBER:
        evidence += [line for line in facts.log_tail.splitlines() if "are not finite" in line][:1]
    if first is not None:
        evidence.append(
            f"Before that, {first.message_type} failed at {_named(first.node_id, facts)}: "
            f"{first.summary}"
        )
    headline = facts.details.partition("\n")[0] or "It failed, and nothing is recorded of why"
    if cause in (Cause.IMPORT_ERROR, Cause.APP_NOT_LOADED):
        headline += f" (on {_server_side(facts)})"
    told = facts.details.partition("\n")[0]
    return Diagnosis(cause, headline, tuple(evidence), _advice(cause, facts, told))


def _of_client(facts: Facts, first: NodeFailure, all_failed: str) -> Diagnosis:
    """Return the diagnosis of a run whose ClientApps failed."""
    cause = kind_of(first.summary) or Cause.CLIENT_APP_RAISED
    where = f"round {first.round}, {first.message_type}" if first.round else first.message_type
    headline = (
        f"{all_failed.rstrip('.')}. "
        f"The first failure was at {_named(first.node_id, facts)} ({where}): {first.summary}"
    )
    evidence = [*_where_raised(first)]
    kind = _NUMBER.sub("", first.summary)
    others = [each for each in facts.told.failures if _NUMBER.sub("", each.summary) != kind]
    if others:
        evidence.append(
            f"Another failure, at {_named(others[0].node_id, facts)}: {others[0].summary}"
        )
    return Diagnosis(cause, headline, tuple(evidence), _advice(cause, facts, first.error, first))


def kind_of(text: str) -> Cause | None:
    """Return the kind of cause that a text tells of, if it is a known one."""
    return next((cause for pattern, cause in _KINDS if re.search(pattern, text)), None)


def _raised(facts: Facts) -> Cause:
    return Cause.SERVER_APP_RAISED if re.match(r"[\w.]+(?::|$)", facts.details) else Cause.FAILED


def _kind_in_log(facts: Facts) -> Cause | None:
    """Look at how the traceback in the log ends: the details may be an app's own words."""
    lines = _traceback(facts)
    return Cause.DISK_FULL if lines and "No space left" in lines[-1] else None


def _advice(
    cause: Cause, facts: Facts, text: str, failure: NodeFailure | None = None
) -> tuple[str, ...]:
    if cause is Cause.IMPORT_ERROR:
        side = _server_side(facts) if failure is None else _client_side(failure, facts)
        if "pip install" in text:
            return ()  # who loaded it knows better
        module = _MODULE.search(text)
        what = f"pip install {module[1]}" if module else "what the app needs"
        return (
            (
                f"Install it on {side}: {what} (or all that the app needs: pip install -e "
                "APP_FOLDER). Nothing is installed for apps by itself."
            ),
        )
    if cause is Cause.CLIENT_APP_RAISED:
        return ("Mend the ClientApp at the line above, then run again.",)
    if cause is Cause.SERVER_APP_RAISED:
        return ("Mend the ServerApp at the line above, then run again.",)
    return (_ADVICE[cause],) if cause in _ADVICE else ()


def _server_side(facts: Facts) -> str:
    return "this machine" if facts.in_place else "the SuperLink's machine"


def _client_side(failure: NodeFailure, facts: Facts) -> str:
    if facts.in_place:
        return "this machine"
    nodes = {each.node_id for each in facts.told.failures if each.summary == failure.summary}
    which = _named(failure.node_id, facts)
    return f"the machine of {which}" + (f" and {len(nodes) - 1} more" if len(nodes) > 1 else "")


def _traceback(facts: Facts) -> tuple[str, ...]:
    """Return the end of the app's own frames: from the details, or from what the run printed."""
    _, _, below = facts.details.partition("\n")
    if below:
        return _last_lines(below)
    blocks = facts.log_tail.split("Traceback (most recent call last):\n")
    while len(blocks) > 1:
        if frames := _frames_of_app(blocks.pop()):
            return frames
        if not _CHAINED.search(blocks[-1]):
            break
    return ()


def _where_raised(failure: NodeFailure) -> tuple[str, ...]:
    """Return the end of a ClientApp's traceback."""
    below = failure.error.partition("\n")[2].removeprefix("Traceback (most recent call last):\n")
    return (() if "pip install" in below else _frames_of_app(below)) or _last_lines(below)


def _frames_of_app(block: str) -> tuple[str, ...]:
    """Return the lines of a traceback that belong to files of others than this package."""
    kept: list[str] = []
    keeps = False
    for line in block.splitlines():
        if line[:1].strip():  # the exception itself: it is said already
            break
        if line.startswith("  File "):
            keeps = not _OWN_FILE.search(line)
        if keeps:
            kept.append(line)
    return _last_lines("\n".join(kept))


def _last_lines(text: str) -> tuple[str, ...]:
    lines = [line.rstrip() for line in text.splitlines() if line.strip(" ^~")]
    return tuple(lines[-_MOST_LINES:])


# --- runs that go on -----------------------------------------------------------------------------


def _of_live(facts: Facts) -> Diagnosis:
    if facts.state != "running":
        return _of_starting(facts)
    if facts.told.awaited is not None:
        return _of_waiting(facts, *facts.told.awaited)
    away = [each for each in facts.open if not each.online]
    if away:
        return _of_away(facts, away)
    pace = _slow_pace(facts)
    if facts.open:
        return _of_open(facts)
    if pace is not None:
        return _of_slow(facts, pace)
    quiet = f", and has said nothing for {facts.quiet:.0f} s" if facts.quiet > _QUIET else ""
    return Diagnosis(
        Cause.RUNNING,
        f"It runs: {_rounds(facts)} done{quiet}.",
        (*_failures_so_far(facts), *_paces(facts)),
    )


def _of_starting(facts: Facts) -> Diagnosis:
    evidence = _last_lines(facts.log_tail)
    return Diagnosis(
        Cause.STARTING,
        f"Its ServerApp has not begun after {facts.elapsed:.0f} s.",
        evidence,
        (("If this lasts: does the SuperLink's log tell of it? With --isolation process, "
         "flower-superexec has to run."),),
    )  # fmt: skip


def _of_waiting(facts: Facts, connected: int, count: int) -> Diagnosis:
    now = connected if facts.online is None else facts.online
    return Diagnosis(
        Cause.NODES_MISSING,
        f"It waits for nodes: {now} of {count} are connected.",
        (f"It has waited so for {facts.quiet:.0f} s or more.", *_failures_so_far(facts)),
        (
            (
                f"Start {max(1, count - now)} more (flower-supernode), lower min_available_nodes "
                f"of the strategy, or give up: flwr stop {facts.run_id}"
            ),
        ),
    )


def _of_away(facts: Facts, away: Sequence[OpenMessage]) -> Diagnosis:
    first = max(away, key=lambda each: each.seconds)
    more = f" and {len(away) - 1} more" if len(away) > 1 else ""
    return Diagnosis(
        Cause.NODE_AWAY,
        f"It waits for {_named(first.node_id, facts)}{more}, which is not connected any more.",
        tuple(_open_line(each, facts) for each in away[:_MOST_LINES]),
        (("Start it again (flower-supernode): it goes on with what it had. After 60 s its message "
         "fails, and the run goes on without it."),),
    )  # fmt: skip


def _of_open(facts: Facts) -> Diagnosis:
    first = max(facts.open, key=lambda each: each.seconds)
    nodes = {each.node_id for each in facts.open}
    headline = (
        f"It waits for {len(facts.open)} replies of {len(nodes)} nodes, longest for "
        f"{_named(first.node_id, facts)}: {first.message_type}, sent {first.seconds:.0f} s ago."
        if len(nodes) > 1
        else f"It waits for {_named(first.node_id, facts)}: {first.message_type}, sent "
        f"{first.seconds:.0f} s ago."
    )
    advice = "If that is too long, look at that machine, or set timeout of the strategy."
    if first.busy_with:
        advice = (
            f"It works for run {first.busy_with} first. See what that waits for: flwr why "
            f"{first.busy_with}. A SuperNode with --max-concurrent 2 works for two runs at once."
        )
    return Diagnosis(
        Cause.WAITING_FOR_REPLIES,
        headline,
        (*(_open_line(each, facts) for each in facts.open[:_MOST_LINES]), *_paces(facts)),
        (advice,),
    )


def _open_line(message: OpenMessage, facts: Facts) -> str:
    does = "has it" if message.handed_out else "has not fetched it"
    if message.busy_with:
        does += f": it works for run {message.busy_with}"
    if not message.online:
        does = "is not connected"
    who = _named(message.node_id, facts)
    return f"{message.message_type}, sent {message.seconds:.0f} s ago: {who} {does}"


def _of_slow(facts: Facts, pace: Pace) -> Diagnosis:
    return Diagnosis(
        Cause.SLOW_NODE,
        f"It runs, and {_named(pace.slowest, facts)} holds it up: it worked {pace.longest:.1f} s "
        f"in {_where(pace)}, the others {pace.median:.1f} s (median).",
        (*_paces(facts), *_failures_so_far(facts)),
        (("Look at what else that machine does, or set timeout of the strategy to go on without "
         "its reply."),),
    )  # fmt: skip


def _slow_pace(facts: Facts) -> Pace | None:
    """Return the newest exchange in which one node was much slower than the others."""
    slow = (
        pace
        for pace in reversed(facts.told.paces)
        if pace.longest > _NOTICEABLE and pace.longest > _SLOW * pace.median
    )
    return next(slow, None)


# --- runs that have completed --------------------------------------------------------------------


def _of_completed(facts: Facts) -> Diagnosis:
    told = facts.told
    if not told.failure_count:
        pace = _slow_pace(facts)
        slow = "" if pace is None else f" {_named(pace.slowest, facts)} was the slowest node."
        return Diagnosis(Cause.COMPLETED, f"It completed, without failures.{slow}", _paces(facts))
    first = told.failures[0]
    kind = kind_of(first.summary) or Cause.CLIENT_APP_RAISED
    return Diagnosis(
        Cause.COMPLETED_WITH_FAILURES,
        f"It completed, with {told.failure_count} of {told.messages} messages failed. The first "
        f"was {first.message_type} at {_named(first.node_id, facts)}: {first.summary}",
        _where_raised(first),
        _advice(kind, facts, first.error, first),
    )


# --- pieces --------------------------------------------------------------------------------------


def _named(node_id: int, facts: Facts) -> str:
    name = facts.names.get(node_id)
    return f"node {node_id} ({name})" if name else f"node {node_id}"


def _rounds(facts: Facts) -> str:
    of = f" of {facts.told.rounds}" if facts.told.rounds else ""
    return f"{facts.told.rounds_done}{of} rounds"


def _failures_so_far(facts: Facts) -> tuple[str, ...]:
    told = facts.told
    if not told.failures:
        return ()
    first = told.failures[0]
    return (
        (
            f"{told.failure_count} of {told.messages} messages failed, the first at "
            f"{_named(first.node_id, facts)}: {first.summary}"
        ),
    )


def _where(pace: Pace) -> str:
    return f"round {pace.round}, {pace.message_type}" if pace.round else pace.message_type


def _paces(facts: Facts) -> tuple[str, ...]:
    return tuple(
        f"{_where(pace)}: {pace.seconds:.2f} s; slowest {_named(pace.slowest, facts)} with "
        f"{pace.longest:.2f} s, median {pace.median:.2f} s"
        for pace in facts.told.paces
    )
