"""The two callables everything on a client is made of.

A ClientApp, a registered function and a chain of mods all have the same shape, so they nest in
any order.
"""

from collections.abc import Callable

from flwr.app import Context, Message

ClientAppCallable = Callable[[Message, Context], Message]
"""Takes an instruction and the node's context, gives the reply."""

Mod = Callable[[Message, Context, ClientAppCallable], Message]
"""The same with what comes next in the chain, which it calls or leaves out."""

__all__ = ["ClientAppCallable", "Mod"]
