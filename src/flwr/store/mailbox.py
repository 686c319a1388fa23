"""The statements on messages and replies: semantic calls as functions of a connection.

A message is queued, leased to a process of its node, and answered by it or failed by the hub, once
and for all. Each call may run twice, and raises before it has written anything.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Connection, bindparam, func, literal_column, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.sql import ColumnElement

from flwr.errors import NodeNotFoundError, ObjectNotFoundError, SupersededError
from flwr.store import apps, contents, nodes
from flwr.store.compiled import Compiled, driver_of
from flwr.store.hubrecords import (
    Answered,
    AnswerRow,
    Enqueued,
    Leased,
    LeasedRow,
    NewBody,
    NewMessage,
    NewReply,
    Principal,
    RejectedRow,
)
from flwr.store.runs import storable
from flwr.store.schema import ANSWERED, FAILED, LEASED, QUEUED, bodies, messages, replies

NO_SUCH_NODE = 5  # the documented code of a node that is not available
PART_BYTES = 8 << 20  # an answer with many contents is cut behind so much

_id: BindParameter[str] = bindparam("id")
_node: BindParameter[int] = bindparam("node")
_now: BindParameter[float] = bindparam("now")
# a literal, or SQLite does not see that the index of open messages serves
_is_open = messages.c.state < literal_column(str(ANSWERED))

_ADD = Compiled(
    insert(messages).on_conflict_do_nothing(index_elements=["message_id"]),
    tuple(column.name for column in messages.c if column.name != "seq"),
)
_KNOWN = Compiled(
    select(
        messages.c.run_id, messages.c.node_id, messages.c.message_type, messages.c.body_id
    ).where(messages.c.message_id == _id)
)
_OPEN_IDS = Compiled(
    select(messages.c.message_id, messages.c.epoch)
    .where(messages.c.node_id == _node, _is_open, messages.c.expires > _now)
    .order_by(messages.c.seq)
)
_WORK = Compiled(
    select(
        messages.c.message_id,
        messages.c.run_id,
        messages.c.node_id,
        messages.c.meta,
        messages.c.body_id,
        bodies.c.content,
        messages.c.created,
        messages.c.ttl,
        bodies.c.nbytes,
    )
    .join(bodies, bodies.c.body_id == messages.c.body_id)
    .where(messages.c.message_id == _id)
)
_LEASE = Compiled(
    update(messages)
    .where(messages.c.message_id == _id)
    .values(state=LEASED, epoch=bindparam("new_epoch"))
)
_CLOSE = Compiled(
    update(messages)
    .where(
        messages.c.message_id == _id,
        messages.c.node_id == _node,
        messages.c.run_id == bindparam("run"),
        _is_open,
        messages.c.expires > _now,
    )
    .values(state=ANSWERED)
)
_STATE = Compiled(
    select(messages.c.state).where(
        messages.c.message_id == _id,
        messages.c.node_id == _node,
        messages.c.run_id == bindparam("run"),
    )
)
_ADD_REPLY = Compiled(insert(replies))
_REPLIES = Compiled(
    select(
        replies.c.seq,
        replies.c.message_id,
        replies.c.node_id,
        replies.c.meta,
        bodies.c.content,
        replies.c.error_code,
        replies.c.error_reason,
        replies.c.seconds,
    )
    .join(bodies, bodies.c.body_id == replies.c.body_id, isouter=True)
    .where(replies.c.run_id == bindparam("run"), replies.c.seq > bindparam("after"))
    .order_by(replies.c.seq)
)


def enqueue(
    connection: Connection,
    run_id: int,
    attempt: int,
    new: Sequence[NewMessage],
    new_bodies: Sequence[NewBody],
    parked: Mapping[int, int],
    now: float,
) -> Enqueued:
    """Take messages of a run, and lease those to nodes that wait."""
    apps.require_newest(connection, run_id, attempt)
    run = Principal("run", run_id)
    contents.require_objects(connection, run, new_bodies)
    driver = driver_of(connection)
    there: dict[int, bool] = {}
    known: list[str] = []
    refused: list[RejectedRow] = []
    leased: list[LeasedRow] = []
    used: set[int] = set()
    expiry: float | None = None
    for message in new:
        node_id = message.node_id
        if node_id not in there:
            there[node_id] = nodes.epoch_of(connection, node_id) is not None
        if not there[node_id]:
            reason = f"There is no node {node_id}."
            refused.append(RejectedRow(message.message_id, reason, NO_SUCH_NODE))
            continue
        body = new_bodies[message.body]
        epoch = parked.get(node_id)
        row = _row(run_id, message, body, epoch, now)
        if not _ADD.run(driver, row).rowcount:
            reason = _difference(driver, run_id, message, body)
            if reason:
                refused.append(RejectedRow(message.message_id, reason, 0))
            else:
                known.append(message.message_id)
            continue
        used.add(message.body)
        expiry = row["expires"] if expiry is None else min(expiry, row["expires"])
        if epoch is not None:
            leased.append(
                LeasedRow(
                    message.message_id,
                    run_id,
                    node_id,
                    message.meta,
                    body.body_id,
                    body.content,
                    now,
                    message.ttl,
                )
            )
            apps.count_bytes_out(connection, run_id, body.nbytes)
    for index in sorted(used):
        contents.put_body(connection, run, new_bodies[index])
    return Enqueued(tuple(known), tuple(refused), tuple(leased), expiry)


def _row(
    run_id: int, message: NewMessage, body: NewBody, epoch: int | None, now: float
) -> dict[str, Any]:
    return {
        "message_id": message.message_id,
        "run_id": run_id,
        "node_id": message.node_id,
        "message_type": message.message_type,
        "group_id": message.group_id,
        "scope": message.scope,
        "meta": message.meta,
        "body_id": body.body_id,
        "created": now,
        "ttl": message.ttl,
        "expires": now + message.ttl,
        "state": QUEUED if epoch is None else LEASED,
        "epoch": epoch or 0,
    }


def _difference(driver: Any, run_id: int, message: NewMessage, body: NewBody) -> str:
    """Return how a message differs from the known one of its id, if it does."""
    names = ("run", "destination", "message type", "content")
    given = (run_id, message.node_id, message.message_type, body.body_id)
    known = _KNOWN(driver, id=message.message_id).fetchone()
    others = [name for name, a, b in zip(names, given, known, strict=True) if a != b]
    if not others:
        return ""
    return (
        f"Message {message.message_id} to node {message.node_id} is known with another "
        f"{' and '.join(others)}: the ServerApp is not deterministic."
    )


def lease(
    connection: Connection,
    node_id: int,
    epoch: int,
    holding: Iterable[str],
    limit: int,
    now: float,
) -> Leased:
    """Hand out what is open for a node and not held by it."""
    newest = nodes.epoch_of(connection, node_id)
    if newest is None:
        raise NodeNotFoundError(f"There is no node {node_id}.")
    if newest != epoch:
        raise SupersededError(f"A newer process of node {node_id} has taken over.")
    driver = driver_of(connection)
    held = dict.fromkeys(holding)
    rows: list[LeasedRow] = []
    room = PART_BYTES
    still_open: set[str] = set()
    for message_id, its_epoch in _OPEN_IDS(driver, node=node_id, now=now).fetchall():
        still_open.add(message_id)
        if message_id in held:
            if its_epoch != epoch:
                _LEASE(driver, id=message_id, new_epoch=epoch)
        elif len(rows) < limit and room > 0:
            *fields, nbytes = _WORK(driver, id=message_id).fetchone()
            row = LeasedRow(*fields)
            rows.append(row)
            room -= len(row.body)
            if its_epoch != epoch:
                _LEASE(driver, id=message_id, new_epoch=epoch)
            apps.count_bytes_out(connection, row.run_id, nbytes)
    return Leased(tuple(rows), tuple(id_ for id_ in held if id_ not in still_open))


def answer(
    connection: Connection, node_id: int, given: Sequence[NewReply], now: float
) -> tuple[Answered, list[str]]:
    """Take replies of a node. Returns the objects that were uploaded for nothing, too."""
    driver = driver_of(connection)
    node = Principal("node", node_id)
    accepted: list[str] = []
    dropped: list[str] = []
    missing: list[str] = []
    new: dict[int, list[NewReply]] = {}
    in_vain: list[str] = []
    for reply in given:
        body = reply.body
        may = body is None or _may_refer(connection, node, body)
        # a run that ends takes its messages along, so this finds live runs only
        key = {"id": reply.message_id, "node": node_id, "run": reply.run_id, "now": now}
        if may and _CLOSE(driver, **key).rowcount:
            if body is not None:
                contents.put_body(connection, node, body)
            accepted.append(reply.message_id)
            new.setdefault(reply.run_id, []).append(reply)
            continue
        state = _STATE(driver, **key).fetchone()
        if state is not None and state[0] < ANSWERED and not may:
            missing.append(reply.message_id)
            continue
        is_there = state is not None and state[0] == ANSWERED
        (accepted if is_there else dropped).append(reply.message_id)
        in_vain += [ref.object_id for ref in body.objects] if body else []
    for run_id, mine in new.items():
        _add_replies(connection, run_id, node_id, mine)
    contents.let_go(connection, node, in_vain)
    gone = contents.collect_garbage(connection, (), in_vain)
    runs = {run_id: len(mine) for run_id, mine in new.items()}
    return Answered(tuple(accepted), tuple(dropped), tuple(missing), runs), gone


def fail_messages(
    connection: Connection, message_ids: Sequence[str], code: int, reason: str
) -> dict[int, int]:
    """Answer open ones of some messages with an error."""
    counts: dict[int, int] = {}
    for message_id in message_ids:
        found = _fail(connection, messages.c.message_id == message_id, code, reason)
        for run_id, count in found.items():
            counts[run_id] = counts.get(run_id, 0) + count
    return counts


def fail_node(connection: Connection, node_id: int, code: int, reason: str) -> dict[int, int]:
    """Answer all open messages to a node with an error."""
    return _fail(connection, messages.c.node_id == node_id, code, reason)


def fail_expired(connection: Connection, code: int, reason: str, now: float) -> dict[int, int]:
    """Answer all open messages whose time is up with an error."""
    return _fail(connection, messages.c.expires <= now, code, reason)


def next_expiry(connection: Connection) -> float | None:
    """Return when the next open message expires."""
    return connection.execute(select(func.min(messages.c.expires)).where(_is_open)).scalar()


def collect(connection: Connection, run_id: int, after: int, limit: int) -> list[AnswerRow]:
    """Return replies behind a number."""
    rows: list[AnswerRow] = []
    room = PART_BYTES
    cursor = _REPLIES(driver_of(connection), run=run_id, after=after)
    while len(rows) < limit and room > 0 and (found := cursor.fetchone()) is not None:
        row = AnswerRow(*found)
        rows.append(row)
        room -= len(row.body or b"")
    cursor.close()
    return rows


def _may_refer(connection: Connection, node: Principal, body: NewBody) -> bool:
    try:
        contents.require_objects(connection, node, [body])
    except ObjectNotFoundError:
        return False
    return True


def _add_replies(
    connection: Connection, run_id: int, node_id: int, mine: Sequence[NewReply]
) -> None:
    nbytes = sum(reply.body.nbytes for reply in mine if reply.body is not None)
    last = apps.count_replies(connection, run_id, len(mine), nbytes)
    for seq, reply in enumerate(mine, start=last - len(mine) + 1):
        _ADD_REPLY.run(
            driver_of(connection),
            {
                "run_id": run_id,
                "seq": seq,
                "message_id": reply.message_id,
                "node_id": node_id,
                "meta": reply.meta,
                "body_id": None if reply.body is None else reply.body.body_id,
                "error_code": reply.error_code,
                "error_reason": storable(reply.error_reason),
                "seconds": reply.seconds,
            },
        )


def _fail(
    connection: Connection, which: ColumnElement[bool], code: int, reason: str
) -> dict[int, int]:
    statement = (
        update(messages)
        .where(which, _is_open)
        .values(state=FAILED)
        .returning(messages.c.run_id, messages.c.node_id, messages.c.message_id, messages.c.seq)
    )
    failed = sorted(connection.execute(statement).all(), key=lambda row: int(row.seq))
    by_run: dict[int, list[Any]] = {}
    for row in failed:
        by_run.setdefault(row.run_id, []).append(row)
    for run_id, mine in by_run.items():
        for row in mine:
            error = NewReply(
                message_id=row.message_id, run_id=run_id, error_code=code, error_reason=reason
            )
            _add_replies(connection, run_id, row.node_id, [error])
    return {run_id: len(mine) for run_id, mine in by_run.items()}
