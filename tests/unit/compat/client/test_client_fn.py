"""`ClientApp(client_fn)`: legacy clients answer messages."""

import logging
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.compat import bridge
from flwr.compat.client import Client, NumPyClient
from flwr.compat.client.answer import _say_converted
from flwr.compat.parameters import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.compat.typing import (
    Code,
    EvaluateIns,
    EvaluateRes,
    FitIns,
    FitRes,
    GetParametersIns,
    GetPropertiesIns,
    GetPropertiesRes,
    Status,
)


class Counts(NumPyClient):
    """Adds one; counts in its node's state."""

    def __init__(self, number: object = None) -> None:
        self.number = number

    def get_properties(self, config):
        return {"number": self.number, **config}

    def get_parameters(self, config):
        return [np.zeros(2)]

    def fit(self, parameters, config):
        return [parameters[0] + 1], 5, {"lr": config["lr"]}

    def evaluate(self, parameters, config):
        return float(parameters[0].sum()), 5, {}


@pytest.fixture
def context() -> Context:
    return Context(1, 2, {"partition-id": 7, "num-partitions": 9}, RecordDict(), {})


def with_context(context: Context) -> Client:
    return Counts(context.node_config["partition-id"]).to_client()


def ask(content: RecordDict, message_type: str) -> Message:
    return Message(content, dst_node_id=2, message_type=message_type)


def fit_message() -> Message:
    ins = FitIns(ndarrays_to_parameters([np.ones(2)]), {"lr": 0.1})
    return ask(bridge.fitins_to_recorddict(ins, keep_input=True), "train")


def properties_of(app: ClientApp, context: Context) -> dict[str, Any]:
    question = bridge.getpropertiesins_to_recorddict(GetPropertiesIns({}))
    content = app(ask(question, "get_properties"), context).content
    return bridge.recorddict_to_getpropertiesres(content).properties


def test_each_type_of_message_is_answered_by_its_method(context: Context) -> None:
    app = ClientApp(client_fn=with_context)
    message = fit_message()
    reply = app(message, context)
    assert reply.metadata.message_type == "train"
    fit = bridge.recorddict_to_fitres(reply.content, keep_input=True)
    assert (fit.num_examples, fit.metrics) == (5, {"lr": 0.1})
    np.testing.assert_array_equal(parameters_to_ndarrays(fit.parameters)[0], [2, 2])
    ins = EvaluateIns(fit.parameters, {})
    reply = app(ask(bridge.evaluateins_to_recorddict(ins, keep_input=True), "evaluate"), context)
    assert bridge.recorddict_to_evaluateres(reply.content).loss == 4.0
    question = bridge.getparametersins_to_recorddict(GetParametersIns({}))
    reply = app(ask(question, "get_parameters"), context)
    got = bridge.recorddict_to_getparametersres(reply.content, keep_input=True)
    np.testing.assert_array_equal(parameters_to_ndarrays(got.parameters)[0], [0, 0])
    assert properties_of(app, context) == {"number": 7}
    assert "fitins.parameters" in message.content, "the message is left as it was"


def test_a_client_is_made_for_every_message(context: Context) -> None:
    made: list[Context] = []

    def client_fn(context: Context) -> Client:
        made.append(context)
        return Counts().to_client()

    app = ClientApp(client_fn)
    app(fit_message(), context)
    app(fit_message(), context)
    assert made == [context, context]
    assert made[0] is context


@pytest.mark.parametrize(
    "client_fn",
    [
        lambda cid: Counts(cid).to_client(),
        lambda cid, more=None: Counts(cid).to_client(),
    ],
)
def test_the_old_form_takes_the_partition_as_text_and_is_deprecated(
    client_fn: Any, context: Context, caplog: pytest.LogCaptureFixture
) -> None:
    app = ClientApp(client_fn)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert caplog.messages[0].startswith("DEPRECATED FEATURE: `client_fn` now expects")
    assert properties_of(app, context) == {"number": "7"}
    assert properties_of(app, context) == {"number": "7"}
    assert len(caplog.records) == 1, "once, at construction"


def test_what_is_annotated_as_text_is_of_the_old_form(
    context: Context, caplog: pytest.LogCaptureFixture
) -> None:
    def client_fn(name: str) -> Client:
        return Counts(name).to_client()

    assert properties_of(ClientApp(client_fn), context) == {"number": "7"}
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "client_fn",
    [
        with_context,
        lambda ctx: Counts(ctx.node_config["partition-id"]).to_client(),
        partial(lambda data, context: with_context(context), "data"),
        partial(lambda context, data: with_context(context), data="data"),
        lambda *given: with_context(given[0]),
    ],
)
def test_any_other_function_of_one_argument_takes_the_context(
    client_fn: Any, context: Context, caplog: pytest.LogCaptureFixture
) -> None:
    assert properties_of(ClientApp(client_fn), context) == {"number": 7}
    assert not caplog.records


@pytest.mark.parametrize("client_fn", [lambda: 0, lambda context, more: 0])
def test_a_function_of_other_arguments_is_refused_at_construction(client_fn: Any) -> None:
    with pytest.raises(ValueError, match=r"def client_fn\(context: Context\)"):
        ClientApp(client_fn)


def test_something_that_cannot_be_called_is_refused_at_construction() -> None:
    with pytest.raises(TypeError, match="not a Client"):
        ClientApp(Client())  # type: ignore[arg-type]


def test_the_old_form_takes_the_id_of_a_node_that_has_no_partition(context: Context) -> None:
    context.node_config = {"other": 1}
    app = ClientApp(lambda cid: Counts(cid).to_client())
    assert properties_of(app, context) == {"number": "2"}


def test_a_numpy_client_is_converted_with_one_warning_in_a_process(
    context: Context, caplog: pytest.LogCaptureFixture
) -> None:
    _say_converted.cache_clear()
    app = ClientApp(lambda context: Counts(1))
    assert properties_of(app, context) == {"number": 1}
    assert properties_of(app, context) == {"number": 1}
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("Deprecation Warning: The `client_fn` function must")


def test_anything_else_is_refused_and_the_function_named(context: Context) -> None:
    def client_fn(context: Context) -> Any:
        return Counts

    with pytest.raises(TypeError, match=r"`.*client_fn` returned type, not a `Client`"):
        ClientApp(client_fn)(fit_message(), context)


@pytest.mark.parametrize("message_type", ["query", "train.other", "reconnect", "system"])
def test_other_types_of_messages_are_refused(message_type: str, context: Context) -> None:
    with pytest.raises(ValueError, match=f"Invalid message type: {message_type}"):
        ClientApp(with_context)(ask(RecordDict(), message_type), context)


def test_records_of_the_message_api_are_refused(context: Context) -> None:
    with pytest.raises(KeyError, match=r"fitins\.parameters"):
        ClientApp(with_context)(ask(RecordDict(), "train"), context)


class Returns(Client):
    """Returns what it was told to."""

    def __init__(self, result: Any) -> None:
        self.result = result

    def fit(self, ins):
        return self.result


@pytest.mark.parametrize("result", [None, EvaluateRes(Status(Code.OK, ""), 0.0, 1, {})])
def test_a_method_that_returns_something_else_is_named(result: Any, context: Context) -> None:
    app = ClientApp(lambda context: Returns(result))
    with pytest.raises(TypeError, match=rf"`Returns\.fit` returned {type(result).__name__}, not"):
        app(fit_message(), context)


def test_values_that_cannot_be_sent_are_named_with_the_method(context: Context) -> None:
    class Wrong(NumPyClient):
        def fit(self, parameters, config):
            return parameters, 1, {"loss": None}

    app = ClientApp(lambda context: Wrong().to_client())
    with pytest.raises(TypeError, match="'loss'") as caught:
        app(fit_message(), context)
    assert caught.value.__notes__[-1].endswith("Wrong.fit` returned it.")


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("parameters", [np.zeros(2)], "`parameters` must be Parameters .*, not list"),
        ("parameters", None, "`parameters` must be Parameters .*, not NoneType"),
        ("metrics", None, "must be a dict, not NoneType"),
        ("metrics", [1], "must be a dict, not list"),
        ("num_examples", None, "'num_examples'"),
        ("status", None, "`status` must be a Status, not NoneType"),
    ],
)
def test_a_field_of_a_result_that_is_something_else_is_named(
    context: Context, field: str, value: Any, text: str
) -> None:
    result = FitRes(Status(Code.OK, ""), ndarrays_to_parameters([np.ones(2)]), 1, {})
    app = ClientApp(lambda context: Returns(replace(result, **{field: value})))
    with pytest.raises(TypeError, match=text) as caught:
        app(fit_message(), context)
    assert caught.value.__notes__[-1] == "`Returns.fit` returned it."


def test_a_result_that_is_returned_again_is_sent_again(context: Context) -> None:
    kept = FitRes(Status(Code.OK, ""), ndarrays_to_parameters([np.ones(2)]), 1, {})
    app = ClientApp(lambda context: Returns(kept))
    for _ in range(2):
        content = app(fit_message(), context).content
        assert len(content["fitres.parameters"]) == 1


def test_a_client_finds_the_context_of_each_message() -> None:
    """As from 1.7 to 1.13: `get_context()`, or `context` alone."""

    class Stateful(NumPyClient):
        def get_properties(self, config):
            assert self.context is self.get_context()
            seen = self.context.state.setdefault("seen", ConfigRecord({"times": 0}))
            seen["times"] += 1
            return {"number": seen["times"]}

    kept = Stateful().to_client()
    app = ClientApp(lambda context: kept)
    first, second = (Context(1, node_id, {}, RecordDict(), {}) for node_id in (2, 3))
    asked = [properties_of(app, context)["number"] for context in (first, second, first)]
    assert asked == [1, 1, 2]


def test_a_context_of_the_apps_own_stays(context: Context) -> None:
    @dataclass(frozen=True)
    class Own(NumPyClient):
        context: str

        def get_properties(self, config):
            return {"number": self.context}

    kept = Own("mine").to_client()
    app = ClientApp(lambda context: kept)
    assert [properties_of(app, context) for _ in range(2)] == [{"number": "mine"}] * 2


def test_mods_run_around_a_legacy_client(context: Context) -> None:
    seen: list[str] = []

    def mod(message: Message, context: Context, call_next: Any) -> Message:
        seen.append(message.metadata.message_type)
        return call_next(message, context)

    ClientApp(with_context, mods=[mod])(fit_message(), context)
    assert seen == ["train"]


def test_exceptions_of_a_client_are_passed_on(context: Context) -> None:
    class Fails(NumPyClient):
        def fit(self, parameters, config):
            raise RuntimeError("no data")

    with pytest.raises(RuntimeError, match="no data"):
        ClientApp(lambda context: Fails().to_client())(fit_message(), context)


def test_a_client_may_keep_anything_as_its_numpy_client(context: Context) -> None:
    class Wrapping(Client):
        numpy_client = "of its own"

        def get_properties(self, ins: GetPropertiesIns) -> GetPropertiesRes:
            return GetPropertiesRes(Status(Code.OK, ""), {"kept": self.numpy_client})

    assert properties_of(ClientApp(lambda context: Wrapping()), context) == {"kept": "of its own"}
