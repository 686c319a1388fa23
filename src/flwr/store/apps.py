"""The statements on hosted runs: their app processes, checkpoints, reports, and their end.

Semantic calls as functions of a connection, each may run twice, and raises before it writes.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import fields

from sqlalchemy import (
    BindParameter,
    Connection,
    bindparam,
    delete,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from flwr.errors import RunNotFoundError, RunStateError, SupersededError
from flwr.store import contents
from flwr.store.compiled import Compiled, driver_of
from flwr.store.hubrecords import (
    AppRow,
    CheckpointRow,
    EventRow,
    HostedRow,
    LogRow,
    NewBody,
    NewCheckpoint,
    Principal,
)
from flwr.store.lifecycle import LIVE_STATES, RunEvent, RunState
from flwr.store.records import NewRun, Run
from flwr.store.runs import Told, append_told, insert_run, move_run, select_run, storable
from flwr.store.schema import (
    ANSWERED,
    bodies,
    body_objects,
    checkpoints,
    events,
    fabs,
    hosted,
    launches,
    logs,
    messages,
    replies,
    runs,
)

APPS_OF_RUNS = 100  # the newest ones, whose apps are kept, beside those of live runs
PART_BYTES = 4 << 20  # an answer with much text is cut behind so much

_run: BindParameter[int] = bindparam("run")
_LIVE = frozenset(state.value for state in LIVE_STATES)

_NEWEST = Compiled(
    select(hosted.c.attempt, runs.c.state)
    .join(runs, runs.c.run_id == hosted.c.run_id)
    .where(hosted.c.run_id == _run)
)
_APP = Compiled(
    select(launches.c.run_id, launches.c.attempt, hosted.c.attempt)
    .join(hosted, hosted.c.run_id == launches.c.run_id)
    .where(launches.c.token_hash == bindparam("token"))
)
_LAST_REPLY = Compiled(select(hosted.c.reply_seq).where(hosted.c.run_id == _run))
_COUNT_REPLIES = Compiled(
    update(hosted)
    .where(hosted.c.run_id == _run)
    .values(
        reply_seq=bindparam("number"),
        bytes_in=hosted.c.bytes_in + bindparam("nbytes"),
        launches=literal_column("1"),  # the run gets further
    )
)
_COUNT_BYTES_OUT = Compiled(
    update(hosted)
    .where(hosted.c.run_id == _run)
    .values(bytes_out=hosted.c.bytes_out + bindparam("nbytes"))
)
_id: BindParameter[str] = bindparam("id")
_TAKE_MESSAGE = Compiled(
    delete(messages)
    .where(messages.c.message_id == _id, messages.c.run_id == _run)
    .returning(messages.c.body_id, messages.c.node_id, messages.c.state, messages.c.reply_seq)
)
_TAKE_REPLY = Compiled(
    delete(replies)
    .where(replies.c.run_id == _run, replies.c.seq == bindparam("seq"))
    .returning(replies.c.body_id)
)


def create_run(connection: Connection, new: NewRun, kind: str, fab: bytes, now: float) -> Run:
    """Add a run and its app; the same again changes nothing."""
    known = connection.execute(select(runs).where(runs.c.run_id == new.run_id)).first()
    if known is not None:
        if (known.fab_hash, known.run_config) != (new.fab_hash, new.run_config):
            raise RunStateError(f"There is another run {new.run_id} already.")
        return select_run(connection, new.run_id)
    run = insert_run(connection, new, now)
    connection.execute(
        insert(fabs).values(fab_hash=new.fab_hash, content=fab).on_conflict_do_nothing()
    )
    _delete_old_fabs(connection)
    counters = {column.name: 0 for column in hosted.c if column.name not in {"run_id", "kind"}}
    connection.execute(insert(hosted).values(run_id=new.run_id, kind=kind, **counters))
    return run


def _delete_old_fabs(connection: Connection) -> None:
    """Delete the apps that no live run and none of the newest runs has."""
    newest = select(runs.c.run_id).order_by(runs.c.pending_at.desc()).limit(APPS_OF_RUNS)
    needed = select(runs.c.fab_hash).where(runs.c.state.in_(_LIVE) | runs.c.run_id.in_(newest))
    connection.execute(delete(fabs).where(fabs.c.fab_hash.not_in(needed)))


def select_fab(connection: Connection, fab_hash: str) -> bytes | None:
    """Return an app."""
    return connection.execute(select(fabs.c.content).where(fabs.c.fab_hash == fab_hash)).scalar()


def select_hosted(connection: Connection, run_ids: Sequence[int]) -> dict[int, HostedRow]:
    """Return what is known of runs beside their rows."""
    query = (
        select(
            hosted,
            launches.c.pid,
            launches.c.process_created,
            launches.c.at.label("launched_at"),
        )
        .join(
            launches,
            (launches.c.run_id == hosted.c.run_id) & (launches.c.attempt == hosted.c.attempt),
            isouter=True,
        )
        .where(hosted.c.run_id == _run)
    )
    names = [field.name for field in fields(HostedRow)]
    found: dict[int, HostedRow] = {}
    for run_id in run_ids:
        row = connection.execute(query, {"run": run_id}).first()
        if row is not None:
            found[run_id] = HostedRow(**{name: getattr(row, name) for name in names})
    return found


def require_newest(driver: sqlite3.Connection, run_id: int, attempt: int) -> None:
    """Raise if a run has ended, or if `attempt` is not its newest."""
    state = _state_for(driver, run_id, attempt)
    if state not in _LIVE:
        raise RunStateError(f"Run {run_id} has ended: it is {state}.")


def _state_for(driver: sqlite3.Connection, run_id: int, attempt: int) -> str:
    row = _NEWEST(driver, run=run_id).fetchone()
    if row is None:
        raise RunNotFoundError(f"No run {run_id} is hosted here.")
    newest, state = row
    if newest != attempt:
        raise SupersededError(
            f"Attempt {attempt} of run {run_id} was superseded by attempt {newest}."
        )
    return str(state)


def last_reply(driver: sqlite3.Connection, run_id: int) -> int:
    """Return the number of a run's newest reply; 0 if there is none, or no such run."""
    row = _LAST_REPLY(driver, run=run_id).fetchone()
    return 0 if row is None else int(row[0])


def count_replies(driver: sqlite3.Connection, run_id: int, number: int, nbytes: int) -> None:
    """Note the number of a run's newest reply, and the size of what came."""
    _COUNT_REPLIES(driver, run=run_id, number=number, nbytes=nbytes)


def count_bytes_out(driver: sqlite3.Connection, run_id: int, nbytes: int) -> None:
    """Note the size of a content that goes to a node."""
    _COUNT_BYTES_OUT(driver, run=run_id, nbytes=nbytes)


def launch(connection: Connection, run_id: int, hashed_token: str, now: float) -> int:
    """Begin the next attempt of a live run."""
    run = select_run(connection, run_id)
    if not run.state.is_live:
        raise RunStateError(f"Run {run_id} has ended: it is {run.state}.")
    mine = hosted.c.run_id == run_id
    attempt = connection.execute(select(hosted.c.attempt + 1).where(mine)).scalar()
    if attempt is None:
        raise RunNotFoundError(f"No run {run_id} is hosted here.")
    if run.state is RunState.PENDING:
        move_run(connection, run_id, RunEvent.START, "", now)
    connection.execute(
        update(hosted).where(mine).values(attempt=attempt, launches=hosted.c.launches + 1)
    )
    connection.execute(
        insert(launches).values(run_id=run_id, attempt=attempt, token_hash=hashed_token, at=now)
    )
    return int(attempt)


def record_process(
    connection: Connection, run_id: int, attempt: int, pid: int, process_created: float
) -> None:
    """Note which process an attempt is."""
    connection.execute(
        update(launches)
        .where(launches.c.run_id == run_id, launches.c.attempt == attempt)
        .values(pid=pid, process_created=process_created)
    )


def select_app(connection: Connection, hashed_token: str) -> AppRow | None:
    """Return whose a token is."""
    row = _APP(driver_of(connection), token=hashed_token).fetchone()
    if row is None:
        return None
    run_id, attempt, newest = row
    return AppRow(run_id, attempt, newest=attempt == newest)


def begin_running(connection: Connection, run_id: int, attempt: int, now: float) -> Run:
    """Move a run that is ``starting`` to ``running``."""
    require_newest(driver_of(connection), run_id, attempt)
    run = select_run(connection, run_id)
    if run.state is RunState.RUNNING:
        return run
    return move_run(connection, run_id, RunEvent.RUN, "", now)


def checkpoint(
    connection: Connection, run_id: int, attempt: int, new: NewCheckpoint, now: float
) -> tuple[tuple[int, ...], list[str]]:
    """Commit a checkpoint; return the nodes whose work is wanted no more, and objects to remove."""
    driver = driver_of(connection)
    require_newest(driver, run_id, attempt)
    run = Principal("run", run_id)
    contents.require_objects(driver, run, (new.state, new.context))
    mine = (checkpoints.c.run_id == run_id, checkpoints.c.scope == new.scope)
    known = connection.execute(select(checkpoints).where(*mine)).first()
    superfluous: list[str | None] = []
    if known is None or known.step <= new.step:
        for body in (new.state, new.context):
            contents.put_body(driver, run, body)
        values = {
            "step": new.step,
            "at": now,
            "state_id": new.state.body_id,
            "context_id": new.context.body_id,
        }
        connection.execute(
            insert(checkpoints)
            .values(run_id=run_id, scope=new.scope, **values)
            .on_conflict_do_update(index_elements=["run_id", "scope"], set_=values)
        )
        superfluous += [known.state_id, known.context_id] if known is not None else []
    if known is None or known.step < new.step:
        connection.execute(
            update(hosted)
            .where(hosted.c.run_id == run_id)
            .values(checkpoints=hosted.c.checkpoints + 1, launches=1)
        )
    still_open, released = _release(driver, run_id, new.release)
    return still_open, contents.drop_bodies(driver, superfluous + released)


def _release(
    driver: sqlite3.Connection, run_id: int, message_ids: Sequence[str]
) -> tuple[tuple[int, ...], list[str | None]]:
    """Delete messages and their replies; return nodes that may work on them, and body ids."""
    still_open: dict[int, None] = {}
    body_ids: list[str | None] = []
    for message_id in message_ids:
        found = _TAKE_MESSAGE(driver, id=message_id, run=run_id).fetchall()
        for body_id, node_id, state, reply_seq in found:
            body_ids.append(body_id)
            if state < ANSWERED:
                still_open[node_id] = None
            else:
                body_ids += _TAKE_REPLY(driver, seq=reply_seq, run=run_id).fetchall()[0]
    return tuple(still_open), body_ids


def restore(connection: Connection, run_id: int, scope: int) -> CheckpointRow | None:
    """Return the newest checkpoint of a scope."""
    state, context = bodies.alias("state"), bodies.alias("context")
    row = connection.execute(
        select(checkpoints.c.step, state.c.content, context.c.content)
        .join(context, context.c.body_id == checkpoints.c.context_id)
        .join(state, state.c.body_id == checkpoints.c.state_id, isouter=True)
        .where(checkpoints.c.run_id == run_id, checkpoints.c.scope == scope)
    ).first()
    return None if row is None else CheckpointRow(scope, row[0], row[1] or b"", row[2])


def report(
    connection: Connection,
    run_id: int,
    attempt: int,
    seq: int,
    told: Sequence[Told],
    text: str,
    now: float,
) -> bool:
    """Add events and text of the newest attempt, each report once."""
    _state_for(driver_of(connection), run_id, attempt)
    mine = hosted.c.run_id == run_id
    row = connection.execute(select(hosted).where(mine)).one()
    if (attempt, seq) <= (row.report_attempt, row.report_seq):
        return False
    if told:
        append_told(connection, run_id, told)
    if text:
        add_log(connection, run_id, text, now)
    connection.execute(update(hosted).where(mine).values(report_attempt=attempt, report_seq=seq))
    return True


def add_log(connection: Connection, run_id: int, text: str, now: float) -> None:
    """Add text to a run's log."""
    seq = connection.execute(
        update(hosted)
        .where(hosted.c.run_id == run_id)
        .values(log_seq=hosted.c.log_seq + 1)
        .returning(hosted.c.log_seq)
    ).scalar()
    if seq is None:
        raise RunNotFoundError(f"No run {run_id} is hosted here.")
    connection.execute(insert(logs).values(run_id=run_id, seq=seq, at=now, text=storable(text)))


def select_log(connection: Connection, run_id: int, after: int, limit: int) -> list[LogRow]:
    """Return printed text behind a number."""
    query = (
        select(logs.c.seq, logs.c.at, logs.c.text)
        .where(logs.c.run_id == run_id, logs.c.seq > after)
        .order_by(logs.c.seq)
        .limit(limit)
    )
    rows: list[LogRow] = []
    room = PART_BYTES
    with connection.execute(query) as found:
        for row in found:
            rows.append(LogRow(*row))
            room -= len(rows[-1].text)
            if room <= 0:
                break
    return rows


def select_events(connection: Connection, run_id: int, after: int, limit: int) -> list[EventRow]:
    """Return events behind a number."""
    query = (
        select(events.c.seq, events.c.at, events.c.kind, events.c.body)
        .where(events.c.run_id == run_id, events.c.seq > after)
        .order_by(events.c.seq)
        .limit(limit)
    )
    return [EventRow(*row) for row in connection.execute(query)]


def end_run(
    connection: Connection,
    run_id: int,
    event: RunEvent,
    details: str,
    exit_code: int,
    now: float,
    attempt: int | None,
    context: NewBody | None,
) -> tuple[Run, list[str]]:
    """End a run, and delete what it carried; return the objects to remove, too."""
    if attempt is not None:
        _state_for(driver_of(connection), run_id, attempt)
        run = select_run(connection, run_id)
        if not run.state.is_live:
            return run, []
    run = move_run(connection, run_id, event, details, now)
    connection.execute(update(hosted).where(hosted.c.run_id == run_id).values(exit_code=exit_code))
    last = _last_context(connection, run_id, context)
    body_ids: list[str | None] = []
    for table, names in (
        (messages, ("body_id",)),
        (replies, ("body_id",)),
        (checkpoints, ("state_id", "context_id")),
    ):
        columns = [table.c[name] for name in names]
        found = connection.execute(
            delete(table).where(table.c.run_id == run_id).returning(*columns)
        )
        body_ids += [body_id for row in found for body_id in row]
    if last is not None:
        _keep_context(connection, run_id, last, now)
    uploads = contents.let_all_go(connection, Principal("run", run_id))
    uploads += contents.let_idle_go(connection)  # of nodes, for replies that never came
    return run, contents.drop_bodies(driver_of(connection), body_ids, uploads)


def _last_context(connection: Connection, run_id: int, given: NewBody | None) -> NewBody | None:
    """Return the context that a run leaves behind, unless it refers to objects, which go."""
    if given is not None:
        return None if given.objects else given
    newest = connection.execute(
        select(bodies.c.body_id, bodies.c.content)
        .join(checkpoints, checkpoints.c.context_id == bodies.c.body_id)
        .where(checkpoints.c.run_id == run_id)
        .order_by(checkpoints.c.at.desc(), checkpoints.c.step.desc())
        .limit(1)
    ).first()
    if newest is None:
        return None
    refs = select(body_objects.c.object_id).where(body_objects.c.body_id == newest.body_id)
    if connection.execute(refs.limit(1)).first() is not None:
        return None
    return NewBody(newest.body_id, newest.content)


def _keep_context(connection: Connection, run_id: int, last: NewBody, now: float) -> None:
    contents.put_body(driver_of(connection), Principal("run", run_id), last)
    connection.execute(
        insert(checkpoints).values(
            run_id=run_id, scope=0, step=0, at=now, state_id=None, context_id=last.body_id
        )
    )
