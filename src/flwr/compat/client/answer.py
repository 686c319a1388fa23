"""Answering a message with the legacy client that a ``client_fn`` makes for it."""

import inspect
from collections.abc import Callable
from logging import WARNING
from typing import Any

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
from flwr.log import log

ClientFn = Callable[[str], Client]
ClientFnExt = Callable[[Context], Client]


def answer_with(client_fn: ClientFnExt | ClientFn) -> Callable[[Message, Context], Message]:
    """Return the function of a ClientApp that answers with a new client for each message.

    Parameters
    ----------
    client_fn : Callable[[Context], Client]
        Makes the client; the old form takes the client's number as a text.
    """
    takes_cid = takes_client_id(client_fn)

    def answer(message: Message, context: Context) -> Message:
        given: Any = str(context.node_config["partition-id"]) if takes_cid else context
        client = as_client(client_fn(given), client_fn)
        return handle_legacy_message(client, message)

    return answer


def takes_client_id(client_fn: Callable[..., Any]) -> bool:
    """Whether a ``client_fn`` is of the old form, which takes the client's number as a text."""
    try:
        parameters = list(inspect.signature(client_fn).parameters.values())
    except (TypeError, ValueError):  # something that cannot be looked into
        return False
    if not parameters:
        return False
    first = parameters[0]
    return first.name == "cid" or first.annotation in (str, "str")


def as_client(client: Any, client_fn: Callable[..., Any]) -> Client:
    """Return what a ``client_fn`` made as a `Client`; a `NumPyClient` is converted.

    Raises
    ------
    TypeError
        If it is neither.
    """
    if isinstance(client, NumPyClient):
        log(
            WARNING,
            "Deprecation Warning: The `client_fn` function must return an instance of `Client`, "
            "but an instance of `NumPyClient` was returned. Please use `NumPyClient.to_client()` "
            "method to convert it to `Client`.",
        )
        return client.to_client()
    if not isinstance(client, Client):
        name = getattr(client_fn, "__qualname__", repr(client_fn))
        raise TypeError(
            f"The client_fn `{name}` returned {type(client).__name__}, not a `Client`. "
            "Return `MyClient().to_client()`."
        )
    return client


def handle_legacy_message(client: Client, message: Message) -> Message:
    """Answer one message with a client.

    Raises
    ------
    ValueError
        If the message is of a type that legacy clients do not know.
    """
    message_type = message.metadata.message_type
    answer = _BY_TYPE.get(message_type)
    if answer is None:
        raise ValueError(
            f"Invalid message type: {message_type}. A legacy client answers {', '.join(_BY_TYPE)}."
        )
    return Message(answer(client, message.content), reply_to=message)


def _get_properties(client: Client, content: RecordDict) -> RecordDict:
    ins = bridge.recorddict_to_getpropertiesins(content)
    return bridge.getpropertiesres_to_recorddict(maybe_call_get_properties(client, ins))


def _get_parameters(client: Client, content: RecordDict) -> RecordDict:
    ins = bridge.recorddict_to_getparametersins(content)
    result = maybe_call_get_parameters(client, ins)
    return bridge.getparametersres_to_recorddict(result, keep_input=False)


def _fit(client: Client, content: RecordDict) -> RecordDict:
    ins = bridge.recorddict_to_fitins(content, keep_input=True)
    return bridge.fitres_to_recorddict(maybe_call_fit(client, ins), keep_input=False)


def _evaluate(client: Client, content: RecordDict) -> RecordDict:
    ins = bridge.recorddict_to_evaluateins(content, keep_input=True)
    return bridge.evaluateres_to_recorddict(maybe_call_evaluate(client, ins))


_BY_TYPE: dict[str, Callable[[Client, RecordDict], RecordDict]] = {
    MessageType.TRAIN: _fit,
    MessageType.EVALUATE: _evaluate,
    MessageTypeLegacy.GET_PARAMETERS: _get_parameters,
    MessageTypeLegacy.GET_PROPERTIES: _get_properties,
}
