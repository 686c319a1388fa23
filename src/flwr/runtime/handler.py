"""Handling one message with a ClientApp: the same for every kind of worker."""

import random
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import numpy as np

from flwr.app import Context, Error, Message
from flwr.app.error import ErrorCode

App = Callable[[Message, Context], Message]

_REASON_LENGTH = 6000
_OWN_CODE = str(Path(__file__).resolve().parents[1])


def handle(app: App, message: Message, context: Context) -> Message | Error:
    """Run the app on one message.

    Parameters
    ----------
    app : callable
        The ClientApp.
    message, context : Message, Context
        What it is given.

    Returns
    -------
    Message or Error
        Its reply; or error 2, whose reason begins with ``Type: message`` and goes on with the
        end of the user's traceback.
    """
    run_config = dict(context.run_config)
    try:
        reply = app(message, context)
        if not isinstance(reply, Message):
            raise TypeError(f"The ClientApp returned {type(reply).__name__}, not a Message.")
        if context.run_config != run_config:
            raise ValueError("The `run_config` field of the `Context` object cannot be modified.")
    except (Exception, SystemExit, GeneratorExit) as error:
        return Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, describe(error))
    return reply


def describe(error: BaseException) -> str:
    """Return ``Type: message`` and the traceback of the user's own frames, as plain text."""
    summary = "".join(traceback.format_exception_only(error))
    text = "".join(
        traceback.format_exception(type(error), error, _user_frames(error.__traceback__))
    )
    text = text.removesuffix(summary)  # it comes first instead
    if len(text) > _REASON_LENGTH:
        text = "… " + text[-_REASON_LENGTH:]
    return as_text(f"{summary}{text}".rstrip())


def as_text(reason: str | None) -> str:
    """Return a reason that can be sent: halves of surrogate pairs are written out."""
    return (reason or "").encode(errors="backslashreplace").decode()


def _user_frames(trace: TracebackType | None) -> TracebackType | None:
    """Leave out the frames of this package that lead to the user's code."""
    step = trace
    while step is not None:
        if not step.tb_frame.f_code.co_filename.startswith(_OWN_CODE):
            return step
        step = step.tb_next
    return trace


def seed_random_generators(seed: int) -> None:
    """Seed the process-wide generators of ``random``, NumPy and (if loaded) PyTorch.

    Workers are forks of one process: without this they would all draw the same numbers, and
    what a client draws would depend on which worker it happens to run in.
    """
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)  # noqa: NPY002  (the generator that users' code uses)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.manual_seed(seed & 0x7FFFFFFFFFFFFFFF)
