"""The statements on contents and objects: who refers to what, who may, and what nobody needs.

Semantic calls as functions of a connection, each may run twice. Those that make objects
superfluous delete their rows and return their ids: the files go after the commit.
"""

from collections.abc import Iterable

from sqlalchemy import (
    BindParameter,
    Connection,
    and_,
    bindparam,
    delete,
    exists,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.sqlite import insert

from flwr.errors import ObjectNotFoundError
from flwr.store.compiled import Compiled, driver_of
from flwr.store.hubrecords import NewBody, Principal
from flwr.store.schema import (
    bodies,
    body_objects,
    checkpoints,
    grants,
    messages,
    objects,
    replies,
)

_HOLD_AGAIN_SECONDS = 600.0  # a probe renews a hold that is older

_object: BindParameter[str] = bindparam("object")
_who: BindParameter[str] = bindparam("who")
_body: BindParameter[str] = bindparam("body")

# a literal, or SQLite does not see that the index of held ones serves
_is_held = grants.c.held == literal_column("1")

_ADD_BODY = Compiled(insert(bodies).on_conflict_do_nothing())
_ADD_REF = Compiled(insert(body_objects).on_conflict_do_nothing())
_SIZE = Compiled(select(objects.c.size).where(objects.c.object_id == _object))
_GRANT = Compiled(
    select(grants.c.held, grants.c.at).where(
        grants.c.object_id == _object, grants.c.principal == _who
    )
)
_UNHOLD = Compiled(
    update(grants)
    .where(grants.c.object_id == _object, grants.c.principal == _who, _is_held)
    .values(held=0)
)
_add_grant = insert(grants)
_ADD_GRANT = Compiled(
    _add_grant.on_conflict_do_update(
        index_elements=["object_id", "principal"],
        set_={"at": _add_grant.excluded.at, "held": 1},
    )
)
_sent = select(1).select_from(
    body_objects.join(messages, messages.c.body_id == body_objects.c.body_id)
)
_SENT_TO_NODE = Compiled(
    _sent.where(body_objects.c.object_id == _object, messages.c.node_id == _who).limit(1)
)
_answered = select(1).select_from(
    body_objects.join(replies, replies.c.body_id == body_objects.c.body_id)
)
_SENT_TO_RUN = Compiled(
    _answered.where(body_objects.c.object_id == _object, replies.c.run_id == _who).limit(1)
)
_saved = select(1).select_from(
    body_objects.join(
        checkpoints,
        or_(
            checkpoints.c.state_id == body_objects.c.body_id,
            checkpoints.c.context_id == body_objects.c.body_id,
        ),
    )
)
_SAVED_BY_RUN = Compiled(
    _saved.where(body_objects.c.object_id == _object, checkpoints.c.run_id == _who).limit(1)
)
_REFS = Compiled(select(body_objects.c.object_id).where(body_objects.c.body_id == _body))
_DELETE_BODY = Compiled(
    delete(bodies).where(
        bodies.c.body_id == _body,
        ~exists().where(messages.c.body_id == _body),
        ~exists().where(replies.c.body_id == _body),
        ~exists().where(checkpoints.c.state_id == _body),
        ~exists().where(checkpoints.c.context_id == _body),
    )
)
_DELETE_REFS = Compiled(delete(body_objects).where(body_objects.c.body_id == _body))
_DELETE_OBJECT = Compiled(
    delete(objects).where(
        objects.c.object_id == _object,
        ~exists().where(body_objects.c.object_id == _object),
        ~exists().where(and_(grants.c.object_id == _object, _is_held)),
    )
)
_DELETE_GRANTS = Compiled(delete(grants).where(grants.c.object_id == _object))


def require_objects(connection: Connection, who: Principal, needed: Iterable[NewBody]) -> None:
    """Raise if a content refers to an object that is not here, or that `who` may not know of."""
    for body in needed:
        for object_id, size in body.objects:
            found = _SIZE(driver_of(connection), object=object_id).fetchone()
            if found is None or found[0] != size or not may_read(connection, who, object_id):
                raise ObjectNotFoundError(
                    f"There is no object {object_id} of {size} bytes.", hint="Upload it first."
                )


def put_body(connection: Connection, who: Principal, body: NewBody) -> None:
    """Keep a content whose objects were looked for; what `who` uploaded for it is now in use."""
    driver = driver_of(connection)
    row = {"body_id": body.body_id, "content": body.content, "nbytes": body.nbytes}
    _ADD_BODY.run(driver, row)
    for object_id, _ in body.objects:
        _ADD_REF(driver, body_id=body.body_id, object_id=object_id)
        _UNHOLD(driver, object=object_id, who=str(who))


def may_read(connection: Connection, who: Principal, object_id: str) -> bool:
    """Return whether an object is here, and `who` uploaded it or was sent it."""
    driver = driver_of(connection)
    if _SIZE(driver, object=object_id).fetchone() is None:
        return False
    if _GRANT(driver, object=object_id, who=str(who)).fetchone() is not None:
        return True
    sent = (_SENT_TO_NODE,) if who.kind == "node" else (_SENT_TO_RUN, _SAVED_BY_RUN)
    return any(
        statement(driver, object=object_id, who=who.id).fetchone() is not None for statement in sent
    )


def add_object(
    connection: Connection, object_id: str, size: int, principal: str, now: float
) -> None:
    """Note an object whose bytes are here, and who uploaded it."""
    connection.execute(
        insert(objects).values(object_id=object_id, size=size).on_conflict_do_nothing()
    )
    _ADD_GRANT(driver_of(connection), object_id=object_id, principal=principal, at=now, held=1)


def hold_again(connection: Connection, who: Principal, object_id: str, now: float) -> bool:
    """Keep an object for `who`, about to refer to it; False if it is not here or not for them."""
    if not may_read(connection, who, object_id):
        return False
    driver = driver_of(connection)
    grant = _GRANT(driver, object=object_id, who=str(who)).fetchone()
    if grant is None or not grant[0] or grant[1] < now - _HOLD_AGAIN_SECONDS:
        _ADD_GRANT(driver, object_id=object_id, principal=str(who), at=now, held=1)
    return True


def let_go(connection: Connection, who: Principal, object_ids: Iterable[str]) -> None:
    """Note that nothing of `who` will refer to objects that were uploaded for it."""
    for object_id in object_ids:
        _UNHOLD(driver_of(connection), object=object_id, who=str(who))


def let_all_go(connection: Connection, who: Principal) -> list[str]:
    """Take all grants from `who`, and return the objects."""
    mine = grants.c.principal == str(who)
    found = list(connection.execute(select(grants.c.object_id).where(mine)).scalars())
    connection.execute(delete(grants).where(mine))
    return found


def collect_garbage(
    connection: Connection, body_ids: Iterable[str | None], object_ids: Iterable[str] = ()
) -> list[str]:
    """Delete those contents that nothing refers to, and then those objects; return the latter."""
    driver = driver_of(connection)
    candidates = set(object_ids)
    for body_id in {body_id for body_id in body_ids if body_id is not None}:
        if _DELETE_BODY(driver, body=body_id).rowcount:
            candidates.update(row[0] for row in _REFS(driver, body=body_id))
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
    return collect_garbage(connection, (), list(connection.execute(unused).scalars()))


def object_ids(connection: Connection) -> set[str]:
    """Return the ids of all objects."""
    return set(connection.execute(select(objects.c.object_id)).scalars())
