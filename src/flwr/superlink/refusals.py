"""What the store cannot do, as callers are told it: one table for all services."""

import contextlib
from collections.abc import Iterator, Mapping

from flwr.errors import (
    ConfigError,
    DiskFullError,
    FabError,
    FlwrError,
    NodeNotFoundError,
    ObjectNotFoundError,
    RefusedError,
    RunNotFoundError,
    RunStateError,
    StoreError,
    SupersededError,
    WrongHashError,
)
from flwr.transport.call import Refusal

Kinds = Mapping[type[FlwrError], Refusal]
CODES: Kinds = {  # the first that fits
    SupersededError: Refusal.SUPERSEDED,
    RunNotFoundError: Refusal.UNKNOWN_RUN,
    NodeNotFoundError: Refusal.UNKNOWN_NODE,
    ObjectNotFoundError: Refusal.UNKNOWN_OBJECT,
    RunStateError: Refusal.RUN_STATE,
    WrongHashError: Refusal.WRONG_HASH,
    DiskFullError: Refusal.DISK_FULL,
    FabError: Refusal.BAD_APP,
    ConfigError: Refusal.BAD_APP,
    StoreError: Refusal.UNAVAILABLE,  # it may be well again when it is asked again
}


@contextlib.contextmanager
def refusing(others: Kinds | None = None) -> Iterator[None]:
    """Turn errors in the body into refusals.

    Parameters
    ----------
    others : mapping, optional
        Kinds of errors that mean something else to this caller.
    """
    try:
        yield
    except RefusedError:
        raise
    except FlwrError as error:
        for kind, code in (*(others or {}).items(), *CODES.items()):
            if isinstance(error, kind):
                raise RefusedError(code, error.message, hint=error.hint) from error
        raise
