"""ServerApp: main, lifespan, and the legacy forms."""

import logging
from collections.abc import Callable, Iterator

import pytest
from fake_grid import FakeGrid

from flwr.app import Context, RecordDict
from flwr.serverapp import Grid, ServerApp

GRID = FakeGrid({1, 2})


def context() -> Context:
    return Context(run_id=1, node_id=0, node_config={}, state=RecordDict(), run_config={})


def app_with(calls: list[object], error: Exception | None = None) -> ServerApp:
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        calls.append(("main", grid, context))
        if error is not None:
            raise error

    return app


def test_main_gets_the_grid_and_the_context() -> None:
    calls: list[object] = []
    given = context()
    app_with(calls)(grid=GRID, context=given)
    assert calls == [("main", GRID, given)]


def test_the_decorators_return_the_function() -> None:
    app = ServerApp()

    def main(grid: Grid, context: Context) -> None: ...

    def lifespan(context: Context) -> Iterator[None]:
        yield

    assert app.main()(main) is main
    assert app.lifespan()(lifespan) is lifespan


def test_a_later_main_replaces_an_earlier_one() -> None:
    calls: list[object] = []
    app = app_with(calls)
    app.main()(lambda grid, context: calls.append("second"))
    app(GRID, context())
    assert calls == ["second"]


def test_what_main_returns_is_ignored() -> None:
    app = ServerApp()
    app.main()(lambda grid, context: 5)
    assert app(GRID, context()) is None


def test_main_without_parentheses_is_a_type_error() -> None:
    with pytest.raises(TypeError):
        ServerApp().main(lambda grid, context: None)  # type: ignore[call-arg]


def test_exceptions_of_main_pass_through() -> None:
    with pytest.raises(KeyError, match="x"):
        app_with([], KeyError("x"))(GRID, context())


def test_a_first_parameter_named_driver_is_deprecated(caplog: pytest.LogCaptureFixture) -> None:
    app = ServerApp()
    calls: list[object] = []

    @app.main()
    def main(driver: Grid, context: Context) -> None:
        calls.append(driver)

    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert "DEPRECATED FEATURE" in caplog.messages[0]
    assert "Driver" in caplog.messages[0]
    assert caplog.messages[1].startswith("FEATURE UPDATE: ")
    app(GRID, context())
    assert calls == [GRID]


# --- lifespan --------------------------------------------------------------------------------


def test_the_lifespan_runs_around_main() -> None:
    calls: list[object] = []
    app = app_with(calls)
    given = context()

    @app.lifespan()
    def lifespan(context: Context) -> Iterator[None]:
        calls.append(("before", context))
        yield
        calls.append("after")

    app(GRID, given)
    assert calls == [("before", given), ("main", GRID, given), "after"]


def test_the_part_behind_the_yield_also_runs_when_main_raises() -> None:
    calls: list[object] = []
    app = app_with(calls, ValueError("boom"))

    @app.lifespan()
    def lifespan(_: Context) -> Iterator[None]:
        yield
        calls.append("after")

    with pytest.raises(ValueError, match="boom"):
        app(GRID, context())
    assert calls[-1] == "after"


def test_the_last_lifespan_counts() -> None:
    calls: list[object] = []
    app = app_with(calls)
    for name in ("first", "second"):

        def lifespan(_: Context, name: str = name) -> Iterator[None]:
            calls.append(name)
            yield

        app.lifespan()(lifespan)
    app(GRID, context())
    assert calls[0] == "second"


def no_generator(_: Context) -> None:
    return None


def no_yield(_: Context) -> Iterator[None]:
    yield from ()


def two_yields(_: Context) -> Iterator[None]:
    yield
    yield


@pytest.mark.parametrize(
    ("lifespan", "message"),
    [
        (no_generator, "lifespan function should yield at least once."),
        (no_yield, "lifespan function should yield at least once."),
        (two_yields, "lifespan function should only yield once."),
    ],
)
def test_a_lifespan_must_yield_once(
    lifespan: Callable[[Context], Iterator[None]], message: str
) -> None:
    calls: list[object] = []
    app = app_with(calls)
    app.lifespan()(lifespan)
    with pytest.raises(RuntimeError, match=message):
        app(GRID, context())
    assert bool(calls) == (lifespan is two_yields)


# --- legacy forms ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["server", "config", "strategy", "client_manager"])
def test_legacy_parts_are_deprecated_and_exclude_a_main(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = ServerApp(**{name: object()})
    assert caplog.messages[0].startswith("DEPRECATED FEATURE: ")
    assert name in caplog.messages[0]
    assert "server_fn" in caplog.messages[1]
    with pytest.raises(ValueError, match="Use either a custom main function or a `Strategy`"):
        app.main()(lambda grid, context: None)


def test_server_fn_excludes_the_parts() -> None:
    with pytest.raises(ValueError, match="Passing `server_fn` is incompatible with passing"):
        ServerApp(strategy=object(), server_fn=lambda _: None)


def test_a_main_wins_over_server_fn() -> None:
    calls: list[object] = []
    app = ServerApp(server_fn=lambda _: calls.append("server_fn"))
    app.main()(lambda grid, context: calls.append("main"))
    app(GRID, context())
    assert calls == ["main"]


def test_without_a_main_the_legacy_loop_runs_what_server_fn_returns() -> None:
    with pytest.raises(TypeError, match="server_fn must return ServerAppComponents, not NoneType"):
        ServerApp(server_fn=lambda _: None)(GRID, context())
