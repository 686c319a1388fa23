"""Answering a message with the legacy client that a ``client_fn`` makes for it."""

import inspect
from collections.abc import Callable
from functools import cache, partial
from logging import WARNING
from typing import Any, NamedTuple

from flwr.app import Context, Message, MessageType, RecordDict
from flwr.app.messagetype import MessageTypeLegacy
from flwr.compat import bridge
from flwr.compat.client.client import (
    Client,
    maybe_call_evaluate,
    maybe_call_fit,
    maybe_call_get_parameters,
    maybe_call_get_properties,
)
from flwr.compat.client.numpy_client import NumPyClient
from flwr.compat.typing import EvaluateRes, FitRes, GetParametersRes, GetPropertiesRes
from flwr.log import log, warn_deprecated_feature

ClientFn = Callable[[str], Client]
ClientFnExt = Callable[[Context], Client]

_FORM = "def client_fn(context: Context)"
_NUMBER = "partition-id"


def answer_with(client_fn: ClientFnExt | ClientFn) -> Callable[[Message, Context], Message]:
    """Return the function of a ClientApp that answers with a new client for each message.

    Parameters
    ----------
    client_fn : Callable[[Context], Client]
        Makes the client. The old form, which takes the client's number as a text, is
        deprecated: the number is ``partition-id``, or the node's id where there is none.

    Raises
    ------
    TypeError
        If it cannot be called.
    ValueError
        If it cannot be called with a context alone.
    """
    takes_number = takes_client_number(client_fn)
    if takes_number:
        warn_deprecated_feature(
            f"`client_fn` now expects a signature `{_FORM}`. {_described(client_fn)} takes the "
            "client's number. You can import the `Context` like this: "
            "`from flwr.app import Context`. The number is `context.node_config['partition-id']`, "
            "or `context.node_id` where there is none."
        )

    def answer(message: Message, context: Context) -> Message:
        given: Any = _client_number(context) if takes_number else context
        return handle_legacy_message(as_client(client_fn(given), client_fn), message, context)

    return answer


def takes_client_number(client_fn: Callable[..., Any]) -> bool:
    """Whether a ``client_fn`` is of the old form, which takes the client's number as a text.

    Raises
    ------
    TypeError
        If it cannot be called.
    ValueError
        If it cannot be called with one argument.
    """
    if not callable(client_fn):
        raise TypeError(f"`client_fn` must be a function, not a {type(client_fn).__name__}.")
    try:
        signature = inspect.signature(client_fn)
    except ValueError:  # it is not written in Python
        return False
    try:
        signature.bind(None)
    except TypeError as error:
        raise ValueError(
            "A `ClientApp` cannot make use of a `client_fn` that does not have a signature in the "
            f"form: `{_FORM}`. {_described(client_fn)} has the signature {signature}."
        ) from error
    first = next(iter(signature.parameters.values()))
    return first.name == "cid" or first.annotation in (str, "str")


def as_client(client: Any, client_fn: Callable[..., Any]) -> Client:
    """Return what a ``client_fn`` made as a `Client`; a `NumPyClient` is converted.

    Raises
    ------
    TypeError
        If it is neither.
    """
    if isinstance(client, NumPyClient):
        _say_converted()
        return client.to_client()
    if not isinstance(client, Client):
        raise TypeError(
            f"{_described(client_fn)} returned {type(client).__name__}, not a `Client`. "
            "Return `MyClient().to_client()`."
        )
    return client


@cache  # once in a process: a client is made for each message
def _say_converted() -> None:
    log(
        WARNING,
        "Deprecation Warning: The `client_fn` function must return an instance of `Client`, "
        "but an instance of `NumPyClient` was returned. Please use `NumPyClient.to_client()` "
        "method to convert it to `Client`.",
    )


def handle_legacy_message(client: Client, message: Message, context: Context) -> Message:
    """Answer one message with a client, which is told the context.

    Raises
    ------
    ValueError
        If the message is of a type that legacy clients do not know.
    TypeError
        If the client's method returns something else than documented, or values that cannot be
        sent.
    """
    message_type = message.metadata.message_type
    task = _TASKS.get(message_type)
    if task is None:
        raise ValueError(
            f"Invalid message type: {message_type}. A legacy client answers {', '.join(_TASKS)}."
        )
    inner = getattr(client, "numpy_client", None)
    of_the_app = inner if isinstance(inner, NumPyClient) else client
    of_the_app.set_context(context)
    result = task.ask(client, task.decode(message.content))
    method = f"{type(of_the_app).__qualname__}.{task.method}"
    if not isinstance(result, task.result):
        raise TypeError(f"`{method}` returned {type(result).__name__}, not {task.result.__name__}.")
    try:
        content = task.encode(result)
    except (AttributeError, TypeError, ValueError) as error:
        error.add_note(f"`{method}` returned it.")
        raise
    return Message(content, reply_to=message)


def _client_number(context: Context) -> str:
    return str(context.node_config.get(_NUMBER, context.node_id))


def _described(client_fn: Callable[..., Any]) -> str:
    return f"The client_fn `{getattr(client_fn, '__qualname__', repr(client_fn))}`"


class _Task(NamedTuple):
    """How a client answers messages of one type."""

    method: str
    decode: Callable[[RecordDict], Any]
    ask: Callable[[Client, Any], Any]
    result: type
    encode: Callable[[Any], RecordDict]


# A message may be read again, and a result returned again: inputs are kept.
_TASKS = {
    MessageType.TRAIN: _Task(
        "fit",
        partial(bridge.recorddict_to_fitins, keep_input=True),
        maybe_call_fit,
        FitRes,
        partial(bridge.fitres_to_recorddict, keep_input=True),
    ),
    MessageType.EVALUATE: _Task(
        "evaluate",
        partial(bridge.recorddict_to_evaluateins, keep_input=True),
        maybe_call_evaluate,
        EvaluateRes,
        bridge.evaluateres_to_recorddict,
    ),
    MessageTypeLegacy.GET_PARAMETERS: _Task(
        "get_parameters",
        bridge.recorddict_to_getparametersins,
        maybe_call_get_parameters,
        GetParametersRes,
        partial(bridge.getparametersres_to_recorddict, keep_input=True),
    ),
    MessageTypeLegacy.GET_PROPERTIES: _Task(
        "get_properties",
        bridge.recorddict_to_getpropertiesins,
        maybe_call_get_properties,
        GetPropertiesRes,
        bridge.getpropertiesres_to_recorddict,
    ),
}
