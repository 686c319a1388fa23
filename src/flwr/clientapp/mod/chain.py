"""Wrapping a function in mods."""

from flwr.app import Context, Message
from flwr.clientapp.typing import ClientAppCallable, Mod


def make_ffn(ffn: ClientAppCallable, mods: list[Mod]) -> ClientAppCallable:
    """Wrap a function in mods.

    Parameters
    ----------
    ffn : ClientAppCallable
        The innermost function.
    mods : list[Mod]
        Outermost first: the first one sees the instruction first and the reply last.

    Returns
    -------
    ClientAppCallable
        The chain; ``ffn`` itself if there are no mods.
    """
    for mod in reversed(mods):
        ffn = _put_around(mod, ffn)
    return ffn


def _put_around(mod: Mod, call_next: ClientAppCallable) -> ClientAppCallable:
    def call(message: Message, context: Context) -> Message:
        return mod(message, context, call_next)

    return call
