"""``ServerApp``: the user's half that runs on the server."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flwr.app import Context
from flwr.log import warn_deprecated_feature_with_example
from flwr.serverapp.grid import Grid

ServerAppCallable = Callable[[Grid, Context], None]
Lifespan = Callable[[Context], Iterator[None]]

_MAIN_EXAMPLE = """
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        ...
"""

_SERVER_FN_EXAMPLE = """
    def server_fn(context: Context) -> ServerAppComponents:
        return ServerAppComponents(strategy=FedAvg(), config=ServerConfig(num_rounds=3))

    app = ServerApp(server_fn=server_fn)
"""


class ServerApp:
    """The server's half of an app: a ``main`` function that talks to nodes through a grid.

    Parameters
    ----------
    server, config, strategy, client_manager : optional
        The legacy API's parts. Deprecated: return them from ``server_fn``.
    server_fn : Callable[[Context], ServerAppComponents], optional
        Makes the legacy API's parts for one run. Not together with any of the four above.

    Raises
    ------
    ValueError
        If ``server_fn`` is given together with one of the other arguments.

    Examples
    --------
    >>> from flwr.serverapp import Grid, ServerApp
    >>> app = ServerApp()
    >>> @app.main()
    ... def main(grid: Grid, context: Context) -> None:
    ...     print("this run's nodes:", len(list(grid.get_node_ids())))
    """

    def __init__(
        self,
        server: Any = None,  # the five types belong to the legacy API, a room above this one
        config: Any = None,
        strategy: Any = None,
        client_manager: Any = None,
        server_fn: Callable[[Context], Any] | None = None,
    ) -> None:
        parts = {
            "server": server,
            "config": config,
            "strategy": strategy,
            "client_manager": client_manager,
        }
        self._parts = {name: part for name, part in parts.items() if part is not None}
        self._server_fn = server_fn
        self._main: ServerAppCallable | None = None
        self._lifespan: Lifespan = _no_lifespan
        if self._parts:
            warn_deprecated_feature_with_example(
                f"`ServerApp({', '.join(f'{name}=...' for name in self._parts)})`",
                "Return the parts from a `server_fn`:",
                _SERVER_FN_EXAMPLE,
            )
            if server_fn is not None:
                raise ValueError(
                    "Passing `server_fn` is incompatible with passing the other arguments "
                    f"({', '.join(self._parts)}); return them from `server_fn`."
                )

    def __call__(self, grid: Grid, context: Context) -> None:
        """Run ``main``, or else the legacy loop, inside the lifespan.

        Parameters
        ----------
        grid : Grid
            The way to the nodes.
        context : Context
            The run's configuration and the ServerApp's state.
        """
        with _entered(self._lifespan, context):
            if self._main is not None:
                self._main(grid, context)
            else:
                self._run_legacy(grid, context)

    def main(self) -> Callable[[ServerAppCallable], ServerAppCallable]:
        """Register the function that runs the app; a later one replaces an earlier one.

        Returns
        -------
        Callable
            A decorator for ``main(grid, context)`` that returns the function unchanged.

        Raises
        ------
        ValueError
            On use, if the app was made from the legacy API's parts.
        """

        def register(function: ServerAppCallable) -> ServerAppCallable:
            if self._parts:
                raise ValueError(
                    "Use either a custom main function or a `Strategy`, but not both.\n\n"
                    f"This ServerApp was given: {', '.join(self._parts)}. To use a custom main "
                    f"function, make it without arguments:\n{_MAIN_EXAMPLE}"
                )
            if next(iter(inspect.signature(function).parameters), "") == "driver":
                warn_deprecated_feature_with_example(
                    "The `Driver` class and a first parameter named `driver`",
                    "Name it `grid` and annotate it with `Grid`:",
                    _MAIN_EXAMPLE,
                )
            self._main = function
            return function

        return register

    def lifespan(self) -> Callable[[Lifespan], Lifespan]:
        """Register a generator function that runs around ``main``.

        Returns
        -------
        Callable
            A decorator for ``lifespan(context)``, which yields exactly once: the part before the
            ``yield`` runs before ``main``, the part behind it afterwards, also when ``main``
            raised. The last one registered counts.
        """

        def register(function: Lifespan) -> Lifespan:
            self._lifespan = function
            return function

        return register

    def _run_legacy(self, grid: Grid, context: Context) -> None:
        """Run the legacy API's loop, in its own room."""
        from flwr.compat.server import run_legacy

        run_legacy(grid, context, server_fn=self._server_fn, **self._parts)


def _no_lifespan(_context: Context) -> Iterator[None]:
    yield


@contextmanager
def _entered(lifespan: Lifespan, context: Context) -> Iterator[None]:
    """Run the part before the ``yield``, then the body, then the part behind it."""
    name = getattr(lifespan, "__qualname__", repr(lifespan))
    steps = iter(lifespan(context) or ())  # a function without a yield gives nothing to walk
    end = object()
    if next(steps, end) is end:
        raise RuntimeError(f"lifespan function should yield at least once. (`{name}`)")
    try:
        yield
    finally:
        if next(steps, end) is not end:
            raise RuntimeError(f"lifespan function should only yield once. (`{name}`)")
