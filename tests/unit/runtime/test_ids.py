"""Message ids come out the same again, and only then."""

import uuid

from flwr.runtime.ids import message_id
from flwr.runtime.scopes import Scope, Scopes


def test_an_id_depends_on_all_that_makes_it() -> None:
    base = (1, 0, 2, 7, "train", 0)
    other = (9, 9, 9, 9, "query", 9)
    ids = {message_id(*base)}
    for at, value in enumerate(other):
        ids.add(message_id(*base[:at], value, *base[at + 1 :]))  # type: ignore[arg-type]
    assert len(ids) == 7
    assert message_id(*base) in ids
    assert all(uuid.UUID(each).version == 5 for each in ids)


def test_ids_do_not_change_between_versions() -> None:
    assert message_id(1, 2, 3, 4, "train", 5) == "71074e7a-60cb-563e-a4fa-7f939b6bf75b"


def test_messages_are_counted_by_node_and_type_since_the_last_checkpoint() -> None:
    scope = Scope(1)
    first = [scope.next_id(5, node, kind) for node in (1, 2) for kind in ("train", "query")]
    again = scope.next_id(5, 1, "train")
    assert len({*first, again}) == 5
    scope.saved(0)
    assert scope.next_id(5, 1, "train") == message_id(5, 1, 1, 1, "train", 0)


def test_a_checkpoint_forgets_what_it_released_and_nothing_else() -> None:
    scope = Scope(0, done=["a", "b"])
    scope.saved(4, ["a"])
    assert scope.done == ["b"]
    assert scope.step == 5


def test_scopes_lie_in_one_another_and_are_numbered_through() -> None:
    scopes = Scopes()
    outer = scopes.open()
    inner = scopes.open()
    assert (outer.number, inner.number, scopes.current) == (1, 2, inner)
    scopes.close()
    assert scopes.current is outer
    scopes.close()
    assert scopes.open().number == 3
