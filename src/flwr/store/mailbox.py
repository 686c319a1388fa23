"""The statements on messages and replies: semantic calls as functions of a connection.

A message is queued, leased to a process of its node, and answered by it or failed by the hub, once
and for all. Each call may run twice, and raises before it has written anything.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from sqlalchemy import BindParameter, Connection, bindparam, func, literal_column, select, update
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.sql import ColumnElement

from flwr.errors import NodeNotFoundError, ObjectNotFoundError, SupersededError
from flwr.store import apps, contents, nodes
from flwr.store.compiled import Compiled, driver_of
from flwr.store.hubrecords import (
    Answered,
    AnswerRow,
    Collected,
    Enqueued,
    Leased,
    LeasedRow,
    NewBody,
    NewMessage,
    NewReply,
    OpenRow,
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
_OPEN = Compiled(
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
    .values(state=literal_column(str(LEASED)), epoch=bindparam("new_epoch"))
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
    .values(state=literal_column(str(ANSWERED)), reply_seq=bindparam("number"))
)
_FAIL = Compiled(
    update(messages)
    .where(messages.c.message_id == _id)
    .values(state=literal_column(str(FAILED)), reply_seq=bindparam("number"))
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
    driver = driver_of(connection)
    run = Principal("run", run_id)
    apps.require_newest(driver, run_id, attempt)
    contents.require_objects(driver, run, new_bodies)
    there = {
        node_id: nodes.epoch_of(driver, node_id) is not None
        for node_id in {message.node_id for message in new}
    }
    known: list[str] = []
    refused: list[RejectedRow] = []
    leased: list[LeasedRow] = []
    uses: Counter[int] = Counter()
    nbytes = 0
    expiry: float | None = None
    for message in new:
        if not there[message.node_id]:
            reason = f"There is no node {message.node_id}."
            refused.append(RejectedRow(message.message_id, reason, NO_SUCH_NODE))
            continue
        body = new_bodies[message.body]
        epoch = parked.get(message.node_id)
        if not _add(driver, run_id, message, body, epoch, now):
            if reason := _difference(driver, run_id, message, body):
                refused.append(RejectedRow(message.message_id, reason, 0))
            else:
                known.append(message.message_id)
                contents.let_go(driver, run, (ref.object_id for ref in body.objects))
            continue
        uses[message.body] += 1
        contents.let_see(driver, Principal("node", message.node_id), body, now)
        expires = now + message.ttl
        expiry = expires if expiry is None else min(expiry, expires)
        if epoch is not None:
            leased.append(_leased(run_id, message, body, now))
            nbytes += body.nbytes
    if leased:
        apps.count_bytes_out(driver, run_id, nbytes)
    for index, count in uses.items():
        contents.put_body(driver, run, new_bodies[index], count)
    return Enqueued(tuple(known), tuple(refused), tuple(leased), expiry)


def _add(
    driver: sqlite3.Connection,
    run_id: int,
    message: NewMessage,
    body: NewBody,
    epoch: int | None,
    now: float,
) -> bool:
    """Add a message, leased to a process of its node if that waits; False if the id is known."""
    cursor = _ADD(
        driver,
        message_id=message.message_id,
        run_id=run_id,
        node_id=message.node_id,
        message_type=message.message_type,
        meta=message.meta,
        body_id=body.body_id,
        created=now,
        ttl=message.ttl,
        expires=now + message.ttl,
        state=QUEUED if epoch is None else LEASED,
        epoch=epoch or 0,
    )
    return cursor.rowcount > 0


def _leased(run_id: int, message: NewMessage, body: NewBody, now: float) -> LeasedRow:
    return LeasedRow(
        message_id=message.message_id,
        run_id=run_id,
        node_id=message.node_id,
        meta=message.meta,
        body_id=body.body_id,
        body=body.content,
        created=now,
        ttl=message.ttl,
    )


def _difference(driver: sqlite3.Connection, run_id: int, message: NewMessage, body: NewBody) -> str:
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
    driver = driver_of(connection)
    newest = nodes.epoch_of(driver, node_id)
    if newest is None:
        raise NodeNotFoundError(f"There is no node {node_id}.")
    if newest != epoch:
        raise SupersededError(f"A newer process of node {node_id} has taken over.")
    held = dict.fromkeys(holding)
    rows: list[LeasedRow] = []
    room = PART_BYTES
    still_open: set[str] = set()
    for message_id, its_epoch in _OPEN(driver, node=node_id, now=now).fetchall():
        still_open.add(message_id)
        if message_id not in held:
            if len(rows) >= limit or room <= 0:
                continue
            *columns, nbytes = _WORK(driver, id=message_id).fetchone()
            row = LeasedRow(*columns)
            rows.append(row)
            room -= len(row.body)
            apps.count_bytes_out(driver, row.run_id, nbytes)
        if its_epoch != epoch:
            _LEASE(driver, id=message_id, new_epoch=epoch)
    return Leased(tuple(rows), tuple(id_ for id_ in held if id_ not in still_open))


def answer(
    connection: Connection, node_id: int, given: Sequence[NewReply], now: float
) -> tuple[Answered, list[str]]:
    """Take replies of a node. Returns the objects that were uploaded for nothing, too."""
    driver = driver_of(connection)
    node = Principal("node", node_id)
    new = _Replies(driver, now)
    accepted: list[str] = []
    dropped: list[str] = []
    missing: list[str] = []
    in_vain: list[str] = []
    for reply in given:
        body = reply.body
        may = body is None or _may_refer(driver, node, body)
        key = {"id": reply.message_id, "node": node_id, "run": reply.run_id}
        # a run that ends takes its messages along, so this finds those of live runs only
        if may and _CLOSE(driver, **key, now=now, number=new.number(reply.run_id)).rowcount:
            new.add(node, reply)
            accepted.append(reply.message_id)
            continue
        (state,) = _STATE(driver, **key).fetchone() or (FAILED,)
        if state < ANSWERED and not may:
            missing.append(reply.message_id)
            continue
        (accepted if state == ANSWERED else dropped).append(reply.message_id)
        in_vain += [ref.object_id for ref in body.objects] if body else []
    new.count()
    contents.let_go(driver, node, in_vain)
    gone = contents.drop_bodies(driver, (), in_vain) if in_vain else []
    return Answered(tuple(accepted), tuple(dropped), tuple(missing), new.counts), gone


def fail_node(
    connection: Connection, node_id: int, code: int, reason: str, now: float
) -> dict[int, int]:
    """Answer all open messages to a node with an error."""
    return _fail(connection, messages.c.node_id == node_id, code, reason, now)


def fail_expired(connection: Connection, code: int, reason: str, now: float) -> dict[int, int]:
    """Answer all open messages whose time is up with an error."""
    return _fail(connection, messages.c.expires <= now, code, reason, now)


def select_open(
    connection: Connection, *, run_id: int | None = None, node_id: int | None = None
) -> list[OpenRow]:
    """Return the messages of a run, or to a node, that have not been answered."""
    found = select(
        messages.c.run_id,
        messages.c.node_id,
        messages.c.message_type,
        messages.c.created,
        messages.c.state == LEASED,
    ).where(_is_open)
    if run_id is not None:
        found = found.where(messages.c.run_id == run_id)
    if node_id is not None:
        found = found.where(messages.c.node_id == node_id)
    return [OpenRow(*row) for row in connection.execute(found.order_by(messages.c.seq))]


def next_expiry(connection: Connection) -> float | None:
    """Return when the next open message expires."""
    return connection.execute(select(func.min(messages.c.expires)).where(_is_open)).scalar()


def collect(connection: Connection, run_id: int, after: int, limit: int) -> Collected:
    """Return replies behind a number."""
    rows: list[AnswerRow] = []
    room = PART_BYTES
    cursor = _REPLIES(driver_of(connection), run=run_id, after=after)
    while (found := cursor.fetchone()) is not None:
        if len(rows) >= limit or room <= 0:
            cursor.close()
            return Collected(rows, more=True)
        row = AnswerRow(*found)
        rows.append(row)
        room -= len(row.body or b"")
    return Collected(rows, more=False)


class _Replies:
    """New replies of runs, numbered in the transaction that adds them.

    The row that holds a run's newest number is read and written in it, so that commit order is
    number order: whoever has seen a number will never see a smaller one appear.
    """

    def __init__(self, driver: sqlite3.Connection, now: float) -> None:
        self.counts: dict[int, int] = {}  # by run
        self._driver = driver
        self._now = now
        self._last: dict[int, int] = {}
        self._nbytes: dict[int, int] = {}

    def number(self, run_id: int) -> int:
        """Return the number of a run's next reply."""
        if run_id not in self._last:
            self._last[run_id] = apps.last_reply(self._driver, run_id)
        return self._last[run_id] + 1

    def add(self, node: Principal, reply: NewReply) -> None:
        """Add a reply, with the number that :meth:`number` told."""
        run_id, body = reply.run_id, reply.body
        self._last[run_id] = number = self.number(run_id)
        self.counts[run_id] = self.counts.get(run_id, 0) + 1
        if body is not None:
            contents.put_body(self._driver, node, body)
            contents.let_see(self._driver, Principal("run", run_id), body, self._now)
            self._nbytes[run_id] = self._nbytes.get(run_id, 0) + body.nbytes
        _ADD_REPLY(
            self._driver,
            run_id=run_id,
            seq=number,
            message_id=reply.message_id,
            node_id=node.id,
            meta=reply.meta,
            body_id=None if body is None else body.body_id,
            error_code=reply.error_code,
            error_reason=storable(reply.error_reason),
            seconds=reply.seconds,
        )

    def count(self) -> None:
        """Write the newest numbers down."""
        for run_id in self.counts:
            nbytes = self._nbytes.get(run_id, 0)
            apps.count_replies(self._driver, run_id, self._last[run_id], nbytes)


def _may_refer(driver: sqlite3.Connection, node: Principal, body: NewBody) -> bool:
    try:
        contents.require_objects(driver, node, [body])
    except ObjectNotFoundError:
        return False
    return True


def _fail(
    connection: Connection, which: ColumnElement[bool], code: int, reason: str, now: float
) -> dict[int, int]:
    driver = driver_of(connection)
    columns = (messages.c.run_id, messages.c.node_id, messages.c.message_id)
    found = connection.execute(select(*columns).where(which, _is_open).order_by(messages.c.seq))
    new = _Replies(driver, now)
    for run_id, node_id, message_id in found.all():
        _FAIL(driver, id=message_id, number=new.number(run_id))
        error = NewReply(message_id=message_id, run_id=run_id, error_code=code, error_reason=reason)
        new.add(Principal("node", node_id), error)
    new.count()
    return new.counts
