"""``ClientApp``: the user's half that runs beside the data."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from flwr.app import Context, Message
from flwr.clientapp.mod.chain import checked_mods, make_ffn
from flwr.clientapp.typing import ClientAppCallable, Mod

Lifespan = Callable[[Context], Iterator[None]]

_DEFAULT_ACTION = "default"
_CATEGORIES = ("train", "evaluate", "query", "system")  # what comes before the dot of a type
_END = object()

_FUNCTION_EXAMPLE = """
    app = ClientApp()

    @app.{category}()
    def {category}(message: Message, context: Context) -> Message:
        ...
        return Message(content, reply_to=message)
"""

_CLIENT_FN_EXAMPLE = """
    def client_fn(context: Context) -> Client:
        return FlowerClient().to_client()

    app = ClientApp(client_fn=client_fn)
"""


class ClientApp:
    """The client's half of an app: functions that answer messages, and mods around them.

    Parameters
    ----------
    client_fn : Callable[[Context], Client], optional
        Makes the legacy API's client, once a message. Not together with registered functions.
    mods : list[Mod], optional
        Put around every function, outermost first; a function's own mods come inside of them.

    Raises
    ------
    TypeError
        If the mods are no list, or one of them cannot be called or is a class; or if `client_fn`
        cannot be called.
    ValueError
        If `client_fn` cannot be called with a context alone.

    Examples
    --------
    >>> from flwr.app import Context, Message, MetricRecord, RecordDict
    >>> from flwr.clientapp import ClientApp
    >>> app = ClientApp()
    >>> @app.query()
    ... def count(message: Message, context: Context) -> Message:
    ...     return Message(RecordDict({"n": MetricRecord({"count": 3})}), reply_to=message)
    >>> question = Message(RecordDict(), dst_node_id=7, message_type="query")
    >>> context = Context(0, 7, {}, RecordDict(), {})
    >>> app(question, context).content["n"]["count"]
    3
    """

    def __init__(
        self,
        client_fn: Callable[[Context], Any] | None = None,  # gives a Client, of a room above
        mods: list[Mod] | None = None,
    ) -> None:
        self._mods = checked_mods(mods)
        self._functions: dict[tuple[str, str], ClientAppCallable] = {}
        self._lifespan: Lifespan | None = None
        self._legacy: ClientAppCallable | None = None
        if client_fn is not None:
            self._legacy = _chain(_legacy_function(client_fn), self._mods)

    def __call__(self, message: Message, context: Context) -> Message:
        """Answer a message, inside the lifespan.

        Parameters
        ----------
        message : Message
            The instruction; its type chooses the function.
        context : Context
            The node's configuration, and its state in this run.

        Returns
        -------
        Message
            The function's reply.

        Raises
        ------
        ValueError
            If no function is registered for the message's type.
        TypeError
            If the function or a mod returns anything but a message of its own.
        RuntimeError
            If the lifespan does not yield exactly once.
        Exception
            Whatever the function, a mod or the lifespan raises.
        """
        if self._lifespan is None:
            return self._answer(message, context)
        steps = self._lifespan(context)
        if not isinstance(steps, Iterator) or next(steps, _END) is _END:
            raise RuntimeError(
                f"lifespan function should yield at least once. ({_where(self._lifespan)})"
            )
        try:
            return self._answer(message, context)
        finally:
            if next(steps, _END) is not _END:
                raise RuntimeError(
                    f"lifespan function should only yield once. ({_where(self._lifespan)})"
                )

    def train(
        self, action: str = _DEFAULT_ACTION, *, mods: list[Mod] | None = None
    ) -> Callable[[ClientAppCallable], ClientAppCallable]:
        """Register the function that answers messages of type ``train`` or ``train.<action>``.

        Parameters
        ----------
        action : str, default "default"
            A Python identifier; ``default`` is what a type without an action means.
        mods : list[Mod], optional
            Put around this function, inside of the app's, outermost first.

        Returns
        -------
        Callable
            A decorator for ``function(message, context) -> Message`` that returns it unchanged.

        Raises
        ------
        ValueError
            If the action is no identifier, if the app was made with ``client_fn``, or on use if
            a function is registered for this action already.
        TypeError
            If the parentheses of ``@app.train()`` are missing, or the mods are none.
        """
        return self._register("train", action, mods)

    def evaluate(
        self, action: str = _DEFAULT_ACTION, *, mods: list[Mod] | None = None
    ) -> Callable[[ClientAppCallable], ClientAppCallable]:
        """Register the function that answers messages of type ``evaluate[.<action>]``.

        Parameters, result and errors are those of :meth:`train`.
        """
        return self._register("evaluate", action, mods)

    def query(
        self, action: str = _DEFAULT_ACTION, *, mods: list[Mod] | None = None
    ) -> Callable[[ClientAppCallable], ClientAppCallable]:
        """Register the function that answers messages of type ``query[.<action>]``.

        Parameters, result and errors are those of :meth:`train`.
        """
        return self._register("query", action, mods)

    def lifespan(self) -> Callable[[Lifespan], Lifespan]:
        """Register a generator function that runs around every message, mods included.

        Returns
        -------
        Callable
            A decorator for ``lifespan(context)``, which yields exactly once: the part before the
            ``yield`` runs before the message is answered, the part behind it afterwards, also
            when answering raised. The last one registered counts.
        """

        def register(function: Lifespan) -> Lifespan:
            self._lifespan = function
            return function

        return register

    def _register(
        self, category: str, action: str, mods: list[Mod] | None
    ) -> Callable[[ClientAppCallable], ClientAppCallable]:
        if self._legacy is not None:
            raise ValueError(
                f"Use either `@app.{category}()` or `client_fn`, but not both.\n\n"
                f"Use the `ClientApp` with an existing `client_fn`:\n{_CLIENT_FN_EXAMPLE}\n"
                f"Use the `ClientApp` with a custom {category} function:\n"
                f"{_FUNCTION_EXAMPLE.format(category=category)}"
            )
        if not isinstance(action, str):
            raise TypeError(
                f"`@app.{category}` takes an action's name but was given {action!r}. "
                f"Write the parentheses: `@app.{category}()`."
            )
        name = f"Cannot register {category} function with name '{action}'."
        if not action.isidentifier():
            raise ValueError(f"{name} The name must follow Python's function naming rules.")
        key = (category, action)
        around = [*self._mods, *checked_mods(mods)]

        def register(function: ClientAppCallable) -> ClientAppCallable:
            if key in self._functions:
                raise ValueError(
                    f"{name} A {category} function with the name '{action}' is already registered."
                )
            self._functions[key] = _chain(function, around)
            return function

        return register

    def _answer(self, message: Message, context: Context) -> Message:
        if self._legacy is not None:
            return self._legacy(message, context)
        message_type = message.metadata.message_type
        category, _, action = message_type.partition(".")
        function = self._functions.get((category, action or _DEFAULT_ACTION))
        if function is not None:
            return function(message, context)
        if category not in _CATEGORIES:
            raise ValueError(
                f"Invalid message type: {message_type}. "
                "Only a ClientApp made with `client_fn` answers it."
            )
        known = ", ".join(f"{a}.{b}" for a, b in self._functions) or "none"
        raise ValueError(
            f"No {category} function registered with name '{action or _DEFAULT_ACTION}'. "
            f"Functions of this ClientApp: {known}."
        )


def _chain(function: ClientAppCallable, mods: list[Mod]) -> ClientAppCallable:
    """Put mods around a function; every link's reply is checked in its own name."""
    call = _checked(function, "The function", function)
    for mod in reversed(mods):
        call = _checked(make_ffn(call, [mod]), "The mod", mod)
    return call


def _checked(
    call: ClientAppCallable, role: str, named: Callable[..., Message]
) -> ClientAppCallable:
    def answer(message: Message, context: Context) -> Message:
        reply = call(message, context)
        if reply is message or not isinstance(reply, Message):
            given = "the message it was given" if reply is message else _what(reply)
            raise TypeError(
                f"{role} {_where(named)} returned {given}. "
                "It must return a new message: `Message(content, reply_to=message)`."
            )
        return reply

    return answer


def _where(function: Callable[..., object]) -> str:
    """Name a function and its module, also behind a partial or an object that can be called."""
    while isinstance(function, partial):
        function = function.func
    named = function if hasattr(function, "__qualname__") else type(function)
    return f"`{named.__qualname__}` of module `{named.__module__}`"


def _what(value: object) -> str:
    return "None" if value is None else f"an object of type `{type(value).__qualname__}`"


def _legacy_function(client_fn: Callable[[Context], Any]) -> ClientAppCallable:
    """Let the legacy API's room, which is above this one, answer with a client of ``client_fn``."""
    from flwr.compat.client import answer_with

    return answer_with(client_fn)
