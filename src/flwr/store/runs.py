"""The statements on runs and their events: semantic calls as functions of a connection.

Each runs inside a transaction of the caller's and may be run twice (a group that fails is rolled
back and tried one by one), so none has an effect outside its connection.
"""

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from flwr.errors import RunNotFoundError, RunStateError, StoreError
from flwr.store.lifecycle import LIVE_STATES, RunEvent, RunState, next_state
from flwr.store.records import MAX_RUN_ID, NewRun, RecordedEvent, Run, UnknownEvent, run_of
from flwr.store.schema import events, runs

if TYPE_CHECKING:  # reading runs needs no numpy, which flwr.app brings along
    from flwr.app.events import Event

_SUGGESTED_FROM = 1_000  # newest runs among which a mistyped id is looked for


def insert_run(connection: Connection, new: NewRun, at: float) -> Run:
    """Add a run that is ``pending``."""
    if not 0 < new.run_id <= MAX_RUN_ID:
        raise StoreError(f"Run id {new.run_id} is not a positive 63-bit number.")
    values = {field.name: getattr(new, field.name) for field in fields(new)}
    try:
        connection.execute(
            insert(runs).values(
                **values,
                state=RunState.PENDING.value,
                details="",
                pending_at=at,
                event_seq=0,
                rounds_done=0,
                failures=0,
                client_seconds=0.0,
                metrics={},
            )
        )
    except IntegrityError as error:
        raise StoreError(f"There is a run {new.run_id} already.") from error
    return select_run(connection, new.run_id)


def move_run(connection: Connection, run_id: int, event: RunEvent, details: str, at: float) -> Run:
    """Move a run to its next state."""
    row = _row(connection, run_id)
    try:
        state = next_state(RunState(row.state), event)
    except RunStateError as error:
        raise RunStateError(f"Run {run_id}: {error}") from error
    connection.execute(
        update(runs)
        .where(runs.c.run_id == run_id)
        .values(
            state=state.value,
            details=storable(details),
            **{f"{state.status}_at": at},
        )
    )
    return select_run(connection, run_id)


def storable(text: str) -> str:
    """Return a text without what SQL does not know: lone surrogates."""
    return text.encode("utf-8", "replace").decode()


def append_events(
    connection: Connection, run_id: int, recorded: Sequence[tuple[float, "Event"]]
) -> None:
    """Add events behind those that the run has, and what they add up to to its row."""
    from flwr.wire.events import encode

    append_told(connection, run_id, [Told(at, *encode(event), event) for at, event in recorded])


class Told(NamedTuple):
    """An event as it is kept, and as it is understood."""

    at: float
    kind: str
    body: bytes
    event: "Event | UnknownEvent"


def understood(told: Sequence[tuple[float, str, bytes]]) -> list[Told]:
    """Return events that another process told, each a moment, a kind and a body.

    Raises
    ------
    StoreError
        If one of them is none.
    """
    from flwr.store.eventrow import decode
    from flwr.store.progress import Progress, advance

    result = []
    for at, kind, body in told:
        try:
            event = decode(kind, body)
            advance(Progress(), event)
        except Exception as error:  # another process wrote it: anything can be wrong with it
            raise StoreError(f"What was told as an event {kind!r} is none: {error}") from error
        result.append(Told(float(at), kind, body, event))
    return result


def append_told(connection: Connection, run_id: int, told: Sequence[Told]) -> None:
    """Add events behind those that the run has, and what they add up to to its row."""
    from flwr.store.progress import Progress, advance

    columns = [field.name for field in fields(Progress)]
    row = _row(connection, run_id)
    progress = Progress(**{name: getattr(row, name) for name in columns})
    rows = []
    for seq, (at, kind, body, event) in enumerate(told, start=row.event_seq + 1):
        rows.append({"run_id": run_id, "seq": seq, "at": at, "kind": kind, "body": body})
        progress = advance(progress, event)
    connection.execute(insert(events), rows)
    connection.execute(
        update(runs)
        .where(runs.c.run_id == run_id)
        .values(
            event_seq=rows[-1]["seq"],
            last_event_at=rows[-1]["at"],
            **{name: getattr(progress, name) for name in columns},
        )
    )


def select_run(connection: Connection, run_id: int) -> Run:
    """Return a run."""
    row = None
    if 0 < run_id <= MAX_RUN_ID:
        row = connection.execute(select(runs).where(runs.c.run_id == run_id)).first()
    if row is None:
        raise _not_found(connection, run_id)
    return _run(row)


def select_runs(connection: Connection, limit: int | None, *, live: bool) -> list[Run]:
    """Return the newest runs, the newest first."""
    query = select(runs).order_by(runs.c.pending_at.desc(), runs.c.run_id.desc()).limit(limit)
    if live:
        query = query.where(runs.c.state.in_(sorted(LIVE_STATES)))
    return [_run(row) for row in connection.execute(query)]


def select_events(connection: Connection, run_id: int, after: int) -> list[RecordedEvent]:
    """Return the events of a run behind number `after`."""
    from flwr.store.eventrow import decode

    select_run(connection, run_id)
    query = (
        select(events.c.seq, events.c.at, events.c.kind, events.c.body)
        .where(events.c.run_id == run_id, events.c.seq > after)
        .order_by(events.c.seq)
    )
    return [
        RecordedEvent(seq, at, decode(kind, body))
        for seq, at, kind, body in connection.execute(query)
    ]


def _row(connection: Connection, run_id: int) -> Row[Any]:
    """Return the row of a run, locked against other writers until the transaction ends."""
    query = select(runs).where(runs.c.run_id == run_id).with_for_update()
    row = connection.execute(query).first() if 0 < run_id <= MAX_RUN_ID else None
    if row is None:
        raise _not_found(connection, run_id)
    return row


def _run(row: Row[Any]) -> Run:
    return run_of({field.name: getattr(row, field.name) for field in fields(Run)})


def _not_found(connection: Connection, run_id: int) -> RunNotFoundError:
    from difflib import get_close_matches

    newest = select(runs.c.run_id).order_by(runs.c.pending_at.desc()).limit(_SUGGESTED_FROM)
    known = [str(known) for known in connection.execute(newest).scalars()]
    nearest = get_close_matches(str(run_id), known, n=3) or known[:3]
    hint = f"Nearest: {', '.join(nearest)}." if nearest else "There is no run yet."
    return RunNotFoundError(f"There is no run {run_id}.", hint=hint)
