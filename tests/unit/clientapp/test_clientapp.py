"""ClientApp: registering functions, choosing one by message type, mods, lifespan, wrong returns."""

import functools
from collections.abc import Callable, Iterator

import pytest

from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable, Mod

CATEGORIES = ["train", "evaluate", "query"]


@pytest.fixture
def app() -> ClientApp:
    return ClientApp()


@pytest.fixture
def context() -> Context:
    return Context(run_id=1, node_id=2, node_config={}, state=RecordDict(), run_config={})


def instruction(message_type: str = "train") -> Message:
    return Message(RecordDict(), dst_node_id=2, message_type=message_type)


def reply(message: Message, value: int = 0) -> Message:
    return Message(RecordDict({"m": MetricRecord({"value": value})}), reply_to=message)


def value_of(message: Message) -> object:
    return message.content.metric_records["m"]["value"]


def answering(value: int) -> ClientAppCallable:
    def function(message: Message, context: Context) -> Message:
        return reply(message, value)

    return function


def tracing(name: str, trace: list[str]) -> Mod:
    def mod(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
        trace.append(f"{name} in")
        answer = call_next(message, context)
        trace.append(f"{name} out")
        return answer

    return mod


class TestRegistering:
    @pytest.mark.parametrize("category", CATEGORIES)
    def test_function_answers_its_category(
        self, app: ClientApp, context: Context, category: str
    ) -> None:
        for value, other in enumerate(CATEGORIES):
            getattr(app, other)()(answering(value))
        answer = app(instruction(category), context)
        assert value_of(answer) == CATEGORIES.index(category)

    @pytest.mark.parametrize("category", CATEGORIES)
    def test_action_is_positional_or_keyword(
        self, app: ClientApp, context: Context, category: str
    ) -> None:
        getattr(app, category)("one")(answering(1))
        getattr(app, category)(action="two")(answering(2))
        assert value_of(app(instruction(f"{category}.one"), context)) == 1
        assert value_of(app(instruction(f"{category}.two"), context)) == 2

    def test_missing_action_means_default(self, app: ClientApp, context: Context) -> None:
        app.train()(answering(1))
        app.query("default")(answering(2))
        for message_type, value in [
            ("train", 1),
            ("train.default", 1),
            ("query", 2),
            ("query.default", 2),
        ]:
            assert value_of(app(instruction(message_type), context)) == value

    def test_decorators_return_the_function_unchanged(self, app: ClientApp) -> None:
        function = answering(1)

        def lifespan(context: Context) -> Iterator[None]:
            yield

        assert app.train()(function) is function
        assert app.evaluate(mods=[tracing("m", [])])(function) is function
        assert app.lifespan()(lifespan) is lifespan

    @pytest.mark.parametrize("action", ["if", "é", "_x1"])
    def test_any_python_identifier_is_an_action(
        self, app: ClientApp, context: Context, action: str
    ) -> None:
        app.train(action)(answering(1))
        assert value_of(app(instruction(f"train.{action}"), context)) == 1

    @pytest.mark.parametrize("category", CATEGORIES)
    @pytest.mark.parametrize("action", ["a-b", "1a", "", "a.b"])
    def test_other_actions_are_refused(self, app: ClientApp, category: str, action: str) -> None:
        with pytest.raises(ValueError, match=f"Cannot register {category} function with name '"):
            getattr(app, category)(action)(answering(1))

    @pytest.mark.parametrize("category", CATEGORIES)
    @pytest.mark.parametrize("second", [(), ("default",)])
    def test_second_function_of_one_name_is_refused(
        self, app: ClientApp, category: str, second: tuple[str, ...]
    ) -> None:
        getattr(app, category)()(answering(1))
        with pytest.raises(
            ValueError, match=f"{category} function with name 'default'.*already registered"
        ):
            getattr(app, category)(*second)(answering(2))

    @pytest.mark.parametrize("category", CATEGORIES)
    def test_missing_parentheses_are_a_clear_error(self, app: ClientApp, category: str) -> None:
        with pytest.raises(TypeError, match=rf"parentheses: `@app\.{category}\(\)`"):
            getattr(app, category)(answering(1))

    def test_mods_are_keyword_only(self, app: ClientApp) -> None:
        with pytest.raises(TypeError, match="positional"):
            app.train("x", [])  # type: ignore[call-arg]

    def test_wrong_number_of_arguments_shows_at_the_call(
        self, app: ClientApp, context: Context
    ) -> None:
        def lonely() -> Message:
            raise NotImplementedError

        app.train()(lonely)  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="lonely"):
            app(instruction(), context)


class TestChoosing:
    @pytest.mark.parametrize(
        ("message_type", "category", "action"),
        [
            ("train", "train", "default"),
            ("train.zzz", "train", "zzz"),
            ("evaluate", "evaluate", "default"),
            ("query.x", "query", "x"),
            ("system", "system", "default"),
        ],
    )
    def test_type_without_function(
        self, app: ClientApp, context: Context, message_type: str, category: str, action: str
    ) -> None:
        app.train("abc")(answering(1))
        with pytest.raises(
            ValueError, match=f"No {category} function registered with name '{action}'.*train.abc"
        ):
            app(instruction(message_type), context)

    @pytest.mark.parametrize("message_type", ["get_properties", "get_parameters", "reconnect"])
    def test_legacy_types_are_invalid(
        self, app: ClientApp, context: Context, message_type: str
    ) -> None:
        app.train()(answering(1))
        with pytest.raises(ValueError, match=f"Invalid message type: {message_type}"):
            app(instruction(message_type), context)

    def test_exception_of_the_function_comes_out_unchanged(
        self, app: ClientApp, context: Context
    ) -> None:
        error = KeyError("mine")

        @app.train()
        def fail(message: Message, context: Context) -> Message:
            raise error

        with pytest.raises(KeyError) as caught:
            app(instruction(), context)
        assert caught.value is error

    def test_function_gets_the_very_message_and_context(
        self, app: ClientApp, context: Context
    ) -> None:
        seen: list[object] = []

        @app.train()
        def train(message: Message, context: Context) -> Message:
            seen.extend([message, context])
            return reply(message)

        message = instruction()
        answer = app(message, context)
        assert seen[0] is message
        assert seen[1] is context
        assert answer.metadata.reply_to_message_id == message.metadata.message_id


class TestMods:
    def test_order_is_app_mods_then_function_mods_and_back(self, context: Context) -> None:
        trace: list[str] = []
        app = ClientApp(mods=[tracing("A", trace), tracing("B", trace)])

        @app.train(mods=[tracing("F1", trace), tracing("F2", trace)])
        def train(message: Message, context: Context) -> Message:
            trace.append("function")
            return reply(message)

        app(instruction(), context)
        down = ["A in", "B in", "F1 in", "F2 in"]
        up = ["F2 out", "F1 out", "B out", "A out"]
        assert trace == [*down, "function", *up]

    def test_function_mods_are_that_functions_only(self, app: ClientApp, context: Context) -> None:
        trace: list[str] = []
        app.train(mods=[tracing("F", trace)])(answering(1))
        app.evaluate()(answering(2))
        app(instruction("evaluate"), context)
        assert trace == []

    def test_mod_may_answer_itself(self, context: Context) -> None:
        def short_circuit(message: Message, context: Context, _next: ClientAppCallable) -> Message:
            return reply(message, 9)

        app = ClientApp(mods=[short_circuit])

        @app.train()
        def train(message: Message, context: Context) -> Message:
            raise AssertionError("not to be reached")

        assert value_of(app(instruction(), context)) == 9

    def test_mod_may_change_what_goes_in_and_out(self, app: ClientApp, context: Context) -> None:
        def double(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
            message.content["seen"] = MetricRecord({"n": 1})
            answer = call_next(message, context)
            answer.content.metric_records["m"]["value"] = 42
            return answer

        @app.train(mods=[double])
        def train(message: Message, context: Context) -> Message:
            assert message.content.metric_records["seen"] == {"n": 1}
            return reply(message, 21)

        assert value_of(app(instruction(), context)) == 42

    def test_exception_of_a_mod_comes_out_unchanged(self, context: Context) -> None:
        def failing(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
            raise OSError("in the mod")

        app = ClientApp(mods=[failing])
        app.train()(answering(1))
        with pytest.raises(OSError, match="in the mod"):
            app(instruction(), context)

    def test_mods_list_given_is_not_kept(self, context: Context) -> None:
        trace: list[str] = []
        mods = [tracing("A", trace)]
        app = ClientApp(mods=mods)
        mods.clear()
        app.train()(answering(1))
        app(instruction(), context)
        assert trace == ["A in", "A out"]


class TestLifespan:
    def test_surrounds_every_message_and_all_mods(self, context: Context) -> None:
        trace: list[str] = []
        app = ClientApp(mods=[tracing("mod", trace)])
        app.train()(answering(1))

        @app.lifespan()
        def lifespan(context: Context) -> Iterator[None]:
            trace.append(f"enter {context.node_id}")
            yield
            trace.append("leave")

        for _ in range(2):
            app(instruction(), context)
        assert trace == ["enter 2", "mod in", "mod out", "leave"] * 2

    def test_leaves_also_when_the_function_raised(self, app: ClientApp, context: Context) -> None:
        trace: list[str] = []

        @app.train()
        def fail(message: Message, context: Context) -> Message:
            raise ValueError("boom")

        @app.lifespan()
        def lifespan(context: Context) -> Iterator[None]:
            yield
            trace.append("leave")

        with pytest.raises(ValueError, match="boom"):
            app(instruction(), context)
        assert trace == ["leave"]

    def test_without_yield(self, app: ClientApp, context: Context) -> None:
        called: list[int] = []

        @app.train()
        def train(message: Message, context: Context) -> Message:
            called.append(1)
            return reply(message)

        @app.lifespan()
        def lifespan(context: Context) -> Iterator[None]:
            yield from ()

        with pytest.raises(RuntimeError, match=r"should yield at least once\..*lifespan"):
            app(instruction(), context)
        assert called == []

    def test_with_two_yields(self, app: ClientApp, context: Context) -> None:
        app.train()(answering(1))

        @app.lifespan()
        def lifespan(context: Context) -> Iterator[None]:
            yield
            yield

        with pytest.raises(RuntimeError, match=r"should only yield once\."):
            app(instruction(), context)

    def test_that_is_no_generator_function(self, app: ClientApp, context: Context) -> None:
        app.train()(answering(1))

        @app.lifespan()  # type: ignore[arg-type]
        def lifespan(context: Context) -> None:
            return None

        with pytest.raises(RuntimeError, match="should yield at least once"):
            app(instruction(), context)

    def test_its_exceptions_come_out(self, app: ClientApp, context: Context) -> None:
        app.train()(answering(1))

        @app.lifespan()
        def before(context: Context) -> Iterator[None]:
            if context.node_id:
                raise OSError("before")
            yield

        with pytest.raises(OSError, match="before"):
            app(instruction(), context)

        @app.lifespan()
        def after(context: Context) -> Iterator[None]:
            yield
            raise OSError("after")

        with pytest.raises(OSError, match="after"):
            app(instruction(), context)

    def test_last_one_wins(self, app: ClientApp, context: Context) -> None:
        trace: list[str] = []
        app.train()(answering(1))

        def lifespan(name: str) -> Callable[[Context], Iterator[None]]:
            def function(context: Context) -> Iterator[None]:
                trace.append(name)
                yield

            return function

        app.lifespan()(lifespan("first"))
        app.lifespan()(lifespan("second"))
        app(instruction(), context)
        assert trace == ["second"]


class TestWrongReturns:
    @pytest.mark.parametrize(
        ("value", "told"),
        [
            (None, "returned None"),
            (5, "an object of type `int`"),
            (RecordDict(), "an object of type `RecordDict`"),
        ],
    )
    def test_of_a_function_name_it_its_module_and_the_value(
        self, app: ClientApp, context: Context, value: object, told: str
    ) -> None:
        @app.train()  # type: ignore[arg-type]
        def forgetful(message: Message, context: Context) -> object:
            return value

        with pytest.raises(TypeError) as caught:
            app(instruction(), context)
        text = str(caught.value)
        assert "forgetful" in text
        assert __name__ in text
        assert told in text
        assert "reply_to=message" in text

    def test_the_incoming_message(self, app: ClientApp, context: Context) -> None:
        @app.evaluate()
        def echo(message: Message, context: Context) -> Message:
            return message

        with pytest.raises(TypeError, match=r"function `.*echo`.*the message it was given"):
            app(instruction("evaluate"), context)

    def test_of_a_mod_name_the_mod(self, context: Context) -> None:
        def forgetful(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
            call_next(message, context)
            return None  # type: ignore[return-value]

        app = ClientApp(mods=[tracing("outer", []), forgetful])
        app.train()(answering(1))
        with pytest.raises(TypeError, match=r"mod `.*forgetful` of module .* returned None"):
            app(instruction(), context)

    def test_of_a_function_below_mods_name_the_function(self, context: Context) -> None:
        app = ClientApp(mods=[tracing("outer", [])])

        @app.train()
        def echo(message: Message, context: Context) -> Message:
            return message

        with pytest.raises(TypeError, match=r"function `.*echo`"):
            app(instruction(), context)

    def test_of_a_partial_or_an_object_name_what_is_behind(
        self, app: ClientApp, context: Context
    ) -> None:
        def configured(rate: float, message: Message, context: Context) -> Message:
            return message

        class Trainer:
            def __call__(self, message: Message, context: Context) -> Message:
                return message

        app.train()(functools.partial(configured, 0.1))
        app.evaluate()(Trainer())
        with pytest.raises(TypeError, match=r"configured` of module"):
            app(instruction(), context)
        with pytest.raises(TypeError, match=r"Trainer` of module"):
            app(instruction("evaluate"), context)


class TestClientFn:
    @pytest.mark.parametrize("category", CATEGORIES)
    def test_excludes_registered_functions(self, category: str) -> None:
        app = ClientApp(client_fn=lambda context: None)
        with pytest.raises(
            ValueError, match=rf"Use either `@app.{category}\(\)` or `client_fn`, but not both"
        ):
            getattr(app, category)()

    def test_goes_with_a_lifespan(self) -> None:
        app = ClientApp(client_fn=lambda context: None)

        @app.lifespan()
        def lifespan(context: Context) -> Iterator[None]:
            yield

    def test_is_called_inside_of_the_mods_and_must_give_a_client(self, context: Context) -> None:
        trace: list[str] = []
        app = ClientApp(client_fn=lambda context: trace.append("made"), mods=[tracing("m", trace)])
        with pytest.raises(TypeError, match=r"returned NoneType, not a `Client`"):
            app(instruction(), context)
        assert trace[1:] == ["made"]
