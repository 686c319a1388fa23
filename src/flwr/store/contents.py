"""The statements on contents and objects: who refers to what, who may, and what nobody needs.

Semantic calls as functions of a connection, each may run twice. Those that make objects
superfluous delete their rows and return their ids: the files go after the commit.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterable

from sqlalchemy import (
    BindParameter,
    Connection,
    and_,
    bindparam,
    delete,
    exists,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from flwr.errors import ObjectNotFoundError
from flwr.store import nodes
from flwr.store.compiled import Compiled, driver_of
from flwr.store.hubrecords import NewBody, Principal
from flwr.store.lifecycle import LIVE_STATES
from flwr.store.schema import ANSWERED, bodies, body_objects, grants, messages, objects, runs

_HOLD_AGAIN_SECONDS = 600.0  # a probe renews a hold that is older

_object: BindParameter[str] = bindparam("object")
_who: BindParameter[str] = bindparam("who")
_body: BindParameter[str] = bindparam("body")

# a literal, or SQLite does not see that the index of held ones serves
_is_held = grants.c.held == literal_column("1")

_add_body = insert(bodies)
_ADD_BODY = Compiled(
    _add_body.on_conflict_do_update(
        index_elements=["body_id"], set_={"uses": bodies.c.uses + _add_body.excluded.uses}
    )
)
_DROP_BODY = Compiled(
    update(bodies)
    .where(bodies.c.body_id == _body)
    .values(uses=bodies.c.uses - bindparam("count"))
    .returning(bodies.c.uses)
)
_DELETE_BODY = Compiled(delete(bodies).where(bodies.c.body_id == _body))
_ADD_REF = Compiled(insert(body_objects).on_conflict_do_nothing())
_REFS = Compiled(select(body_objects.c.object_id).where(body_objects.c.body_id == _body))
_DELETE_REFS = Compiled(delete(body_objects).where(body_objects.c.body_id == _body))
_SIZE = Compiled(select(objects.c.size).where(objects.c.object_id == _object))
_GRANT = Compiled(
    select(grants.c.held, grants.c.at).where(
        grants.c.object_id == _object, grants.c.principal == _who
    )
)
_add_grant = insert(grants)
_HOLD = Compiled(
    _add_grant.on_conflict_do_update(
        index_elements=["object_id", "principal"],
        set_={"at": _add_grant.excluded.at, "held": _add_grant.excluded.held},
    )
)
_LET_SEE = Compiled(_add_grant.on_conflict_do_nothing())
_LET_GO = Compiled(
    update(grants)
    .where(grants.c.object_id == _object, grants.c.principal == _who, _is_held)
    .values(held=literal_column("0"))
)
_NODE_OWES = Compiled(
    select(messages.c.seq)
    .where(messages.c.node_id == _who, messages.c.state < literal_column(str(ANSWERED)))
    .limit(1)
)
_STATE_OF_RUN = Compiled(select(runs.c.state).where(runs.c.run_id == _who))
_DELETE_GRANTS = Compiled(delete(grants).where(grants.c.object_id == _object))
_DELETE_OBJECT = Compiled(
    delete(objects).where(
        objects.c.object_id == _object,
        ~exists().where(body_objects.c.object_id == _object),
        ~exists().where(and_(grants.c.object_id == _object, _is_held)),
    )
)


def require_objects(driver: sqlite3.Connection, who: Principal, needed: Iterable[NewBody]) -> None:
    """Raise if a content refers to an object that is not here, or that `who` may not know of."""
    for body in needed:
        for object_id, size in body.objects:
            found = _SIZE(driver, object=object_id).fetchone()
            if found is None or found[0] != size or not may_read(driver, who, object_id):
                raise ObjectNotFoundError(
                    f"There is no object {object_id} of {size} bytes.", hint="Upload it first."
                )


def may_read(driver: sqlite3.Connection, who: Principal, object_id: str) -> bool:
    """Return whether an object is here, and `who` uploaded it or was sent it."""
    return _GRANT(driver, object=object_id, who=str(who)).fetchone() is not None


def put_body(driver: sqlite3.Connection, who: Principal, body: NewBody, uses: int = 1) -> None:
    """Keep a content whose objects were looked for; what `who` uploaded for it is now in use."""
    _ADD_BODY(driver, body_id=body.body_id, content=body.content, nbytes=body.nbytes, uses=uses)
    for object_id, _ in body.objects:
        _ADD_REF(driver, body_id=body.body_id, object_id=object_id)
        _LET_GO(driver, object=object_id, who=str(who))


def let_see(driver: sqlite3.Connection, who: Principal, body: NewBody, now: float) -> None:
    """Note that a content is sent to someone, who may read its objects from now on."""
    for object_id, _ in body.objects:
        _LET_SEE(driver, object_id=object_id, principal=str(who), at=now, held=0)


def may_upload(driver: sqlite3.Connection, who: Principal) -> bool:
    """Return whether `who` may still refer to objects: in a live run, or in an answer it owes."""
    if who.kind == "node":
        return _NODE_OWES(driver, who=who.id).fetchone() is not None
    state = _STATE_OF_RUN(driver, who=who.id).fetchone()
    return state is not None and state[0] in LIVE_STATES


def add_object(
    connection: Connection, object_id: str, size: int, who: Principal, now: float
) -> bool:
    """Note an object whose bytes are here, and who uploaded it; return whether it is kept so."""
    driver = driver_of(connection)
    connection.execute(
        insert(objects).values(object_id=object_id, size=size).on_conflict_do_nothing()
    )
    kept = may_upload(driver, who)
    _HOLD(driver, object_id=object_id, principal=str(who), at=now, held=int(kept))
    return kept


def hold_again(connection: Connection, who: Principal, object_id: str, now: float) -> bool:
    """Keep an object for `who`, about to refer to it; False if it is not here or not for them."""
    driver = driver_of(connection)
    grant = _GRANT(driver, object=object_id, who=str(who)).fetchone()
    if grant is None:
        return False
    held, at = grant
    if (not held or at < now - _HOLD_AGAIN_SECONDS) and may_upload(driver, who):
        _HOLD(driver, object_id=object_id, principal=str(who), at=now, held=1)
    return True


def let_go(driver: sqlite3.Connection, who: Principal, object_ids: Iterable[str]) -> None:
    """Note that nothing of `who` will refer to objects that were uploaded for it."""
    for object_id in object_ids:
        _LET_GO(driver, object=object_id, who=str(who))


def let_all_go(connection: Connection, who: Principal) -> list[str]:
    """Take all grants from `who`, and return the objects."""
    statement = delete(grants).where(grants.c.principal == str(who)).returning(grants.c.object_id)
    return list(connection.execute(statement).scalars())


def forget_node(connection: Connection, node_id: int) -> tuple[None, list[str]]:
    """Delete a node, and let go of all that it has uploaded or was sent."""
    nodes.delete_node(connection, node_id)
    unused = let_all_go(connection, Principal("node", node_id))
    return None, drop_bodies(driver_of(connection), (), unused)


def idle(driver: sqlite3.Connection, uploaders: Iterable[str]) -> list[str]:
    """Return those of some uploaders that will refer to nothing more."""
    return [each for each in uploaders if not may_upload(driver, Principal.of(each))]


def let_idle_go(connection: Connection) -> list[str]:
    """Let everything go that idle ones have uploaded for nothing, and return the objects."""
    found = connection.execute(select(grants.c.principal).where(_is_held).distinct())
    unused = idle(driver_of(connection), found.scalars().all())
    statement = (
        update(grants)
        .where(grants.c.principal == _who, _is_held)
        .values(held=0)
        .returning(grants.c.object_id)
    )
    return [row[0] for each in unused for row in connection.execute(statement, {"who": each})]


def drop_bodies(
    driver: sqlite3.Connection, body_ids: Iterable[str | None], object_ids: Iterable[str] = ()
) -> list[str]:
    """Take one use of each content away (ids may repeat; None is nothing), delete what is left.

    Returns
    -------
    list of str
        Those of the contents' objects, and of `object_ids`, that nothing refers to any more.
    """
    candidates = set(object_ids)
    for body_id, count in Counter(body_ids).items():
        if body_id is None:
            continue
        (uses,) = _DROP_BODY(driver, body=body_id, count=count).fetchall()[0]
        if uses <= 0:
            candidates.update(row[0] for row in _REFS(driver, body=body_id))
            _DELETE_BODY(driver, body=body_id)
            _DELETE_REFS(driver, body=body_id)
    gone = [
        object_id
        for object_id in sorted(candidates)
        if _DELETE_OBJECT(driver, object=object_id).rowcount
    ]
    for object_id in gone:
        _DELETE_GRANTS(driver, object=object_id)
    return gone


def sweep(connection: Connection, before: float) -> list[str]:
    """Delete objects that were uploaded before a moment and that nothing refers to."""
    connection.execute(update(grants).where(_is_held, grants.c.at < before).values(held=0))
    unused = select(objects.c.object_id).where(
        ~exists().where(body_objects.c.object_id == objects.c.object_id),
        ~exists().where(and_(grants.c.object_id == objects.c.object_id, _is_held)),
    )
    return drop_bodies(driver_of(connection), (), connection.execute(unused).scalars().all())


def object_ids(connection: Connection) -> set[str]:
    """Return the ids of all objects."""
    return set(connection.execute(select(objects.c.object_id)).scalars())
