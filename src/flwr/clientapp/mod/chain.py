"""Wrapping a function in mods."""

from collections.abc import Iterable

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

    Raises
    ------
    TypeError
        If a mod cannot be called, or is a class.
    """
    for mod in reversed(checked_mods(mods)):
        ffn = _put_around(mod, ffn)
    return ffn


def checked_mods(mods: object) -> list[Mod]:
    """Return mods as a list of their own; ``None`` is none.

    Raises
    ------
    TypeError
        If they are no list, or one of them cannot be called or is a class.
    """
    if mods is None:
        return []
    if callable(mods) or isinstance(mods, str) or not isinstance(mods, Iterable):
        raise TypeError(f"`mods` must be a list of mods, not {mods!r}: write `mods=[...]`.")
    taken = list(mods)
    for place, mod in enumerate(taken):
        if isinstance(mod, type):
            name = mod.__name__
            raise TypeError(
                f"mods[{place}] is the class {name}, not a mod made of it: write `{name}(...)`, "
                "with its settings in the parentheses."
            )
        if not callable(mod):
            raise TypeError(
                f"mods[{place}] is {mod!r}, which is no mod: it must be a function of a message, "
                "a context and the next callable, `mod(message, context, call_next)`."
            )
    return taken


def _put_around(mod: Mod, call_next: ClientAppCallable) -> ClientAppCallable:
    def call(message: Message, context: Context) -> Message:
        return mod(message, context, call_next)

    return call
