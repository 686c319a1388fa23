"""``make_ffn``: wrapping a function in mods."""

from flwr.app import Context, Message, RecordDict
from flwr.clientapp.mod import make_ffn
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
