"""``make_ffn``: wrapping a function in mods; what is no mod is refused where it is given."""

from collections.abc import Callable
from typing import Any

import pytest

from flwr.app import Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import LocalDpMod, make_ffn
from flwr.clientapp.typing import ClientAppCallable, Mod


def answer(message: Message, context: Context) -> Message:
    return Message(RecordDict(), reply_to=message)


def test_without_mods_it_is_the_function() -> None:
    assert make_ffn(answer, []) is answer


def test_first_mod_is_outermost() -> None:
    trace: list[str] = []

    def named(name: str) -> Mod:
        def mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
            trace.append(name)
            reply = call_next(message, context)
            trace.append(name)
            return reply

        return mod

    mods = [named("1"), named("2"), named("3")]
    chain = make_ffn(answer, mods)
    message = Message(RecordDict(), dst_node_id=1, message_type="train")
    reply = chain(message, Context(0, 1, {}, RecordDict(), {}))
    assert trace == ["1", "2", "3", "3", "2", "1"]
    assert reply.metadata.reply_to_message_id == message.metadata.message_id
    assert len(mods) == 3


@pytest.mark.parametrize(
    "take",
    [
        lambda mods: ClientApp(mods=mods),
        lambda mods: ClientApp().train(mods=mods),
        lambda mods: make_ffn(answer, mods),
    ],
)
@pytest.mark.parametrize(
    ("mods", "words"),
    [
        ([make_ffn, LocalDpMod], r"mods\[1\] is the class LocalDpMod.*write `LocalDpMod\(...\)`"),
        (["fixedclipping_mod"], r"mods\[0\] is 'fixedclipping_mod', which is no mod"),
        ([None], r"mods\[0\] is None, which is no mod"),
        (make_ffn, r"must be a list of mods, not <function make_ffn.*write `mods=\[...\]`"),
        ("fixedclipping_mod", "must be a list of mods, not 'fixedclipping_mod'"),
        (1, "must be a list of mods, not 1"),
    ],
)
def test_what_is_no_mod_is_refused_at_once(
    take: Callable[[Any], object], mods: object, words: str
) -> None:
    with pytest.raises(TypeError, match=words):
        take(mods)
