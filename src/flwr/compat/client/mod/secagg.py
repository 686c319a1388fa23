"""Secure aggregation's mods: their names, which say that they are not there yet."""

from flwr.app import Context, Message
from flwr.clientapp.typing import ClientAppCallable
from flwr.compat.secure_aggregation.later import refuse


def secaggplus_mod(msg: Message, ctxt: Context, call_next: ClientAppCallable) -> Message:
    """Take part in secure aggregation; not there yet.

    Raises
    ------
    NotImplementedError
        Always.
    """
    refuse("secaggplus_mod")


def secagg_mod(msg: Message, ctxt: Context, call_next: ClientAppCallable) -> Message:
    """Take part in secure aggregation; not there yet.

    Raises
    ------
    NotImplementedError
        Always.
    """
    refuse("secagg_mod")
