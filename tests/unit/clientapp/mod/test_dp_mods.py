"""The mods of differential privacy: what they clip, what they pass on, what they refuse."""

import logging
import math
import os
import re
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Error,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import LocalDpMod, adaptiveclipping_mod, fixedclipping_mod
from flwr.clientapp.typing import Mod

NO_NOISE = LocalDpMod(1.0, 0.0, 1.0, 1e-5)  # clips only
MODS = [
    pytest.param(fixedclipping_mod, id="fixedclipping_mod"),
    pytest.param(adaptiveclipping_mod, id="adaptiveclipping_mod"),
    pytest.param(NO_NOISE, id="LocalDpMod"),
]
each = pytest.mark.parametrize("mod", MODS)


def context() -> Context:
    return Context(0, 1, {}, RecordDict(), {})


def arrays(**values: Any) -> ArrayRecord:
    return ArrayRecord({name: Array(np.asarray(value)) for name, value in values.items()})


def instruction(sent: ArrayRecord, message_type: str = "train", bound: Any = 1.0) -> Message:
    records = {"arrays": sent, "config": ConfigRecord({"clipping_norm": bound})}
    return Message(RecordDict(records), 1, message_type)


def trained(record: ArrayRecord) -> RecordDict:
    return RecordDict({"model": record, "metrics": MetricRecord({"num-examples": 3})})


def answering(content: RecordDict | Error) -> Callable[[Message, Context], Message]:
    return lambda message, _: Message(content, reply_to=message)


def apply(mod: Mod, sent: ArrayRecord, back: ArrayRecord, message_type: str = "train") -> Message:
    return mod(instruction(sent, message_type), context(), answering(trained(back)))


def values(reply: Message) -> list[np.ndarray]:
    return [array.numpy() for array in reply.content["model"].values()]


@each
def test_the_norm_of_an_update_is_clipped_over_all_arrays(mod: Mod) -> None:
    sent, back = arrays(a=[1.0, 1.0], b=5.0), arrays(a=[4.0, 5.0], b=17.0)
    reply = apply(mod, sent, back)
    a, b = values(reply)
    np.testing.assert_allclose(a, [1 + 3 / 13, 1 + 4 / 13], rtol=1e-15)
    np.testing.assert_allclose(b, 5 + 12 / 13, rtol=1e-15)
    assert b.shape == ()
    np.testing.assert_array_equal(back["a"].numpy(), [4.0, 5.0])


@each
def test_a_short_update_is_left_as_it_is(mod: Mod) -> None:
    back = arrays(a=np.float32([1.25, 1.5]), b=np.float32(0.0))
    reply = apply(mod, arrays(a=np.float32([1.0, 1.0]), b=np.float32(0.0)), back)
    assert reply.content["model"] == back


@each
def test_an_update_of_zero_is_no_division_by_zero(mod: Mod) -> None:
    same = arrays(a=[1.0, 2.0])
    assert apply(mod, same, same.copy()).content["model"] == same


@each
def test_a_single_0d_array_does_not_escape(mod: Mod) -> None:
    [value] = values(apply(mod, arrays(a=0.0), arrays(a=6.0)))
    assert value == 1.0


@each
def test_arrays_of_integers_and_bools_go_back_as_sent(mod: Mod) -> None:
    sent = arrays(w=[0.0], batches=7, flags=[True, False])
    reply = apply(mod, sent, arrays(w=[0.5], batches=1007, flags=[False, False]))
    assert reply.content["model"] == arrays(w=[0.5], batches=7, flags=[True, False])


@each
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_update_that_is_not_finite_counts_as_none(
    mod: Mod, value: float, caplog: pytest.LogCaptureFixture
) -> None:
    sent = arrays(a=[1.0, 2.0])
    with caplog.at_level(logging.WARNING, "flwr"):
        reply = apply(mod, sent, arrays(a=[value, 3.0]))
    assert reply.content["model"] == sent
    assert "not finite" in caplog.text


@each
@pytest.mark.parametrize("dtype", [np.float16, np.float32, ml_dtypes.bfloat16, np.complex64])
def test_dtypes_and_memory_orders_are_kept(mod: Mod, dtype: Any) -> None:
    sent = arrays(a=np.zeros((2, 3), dtype))
    back = arrays(a=np.asfortranarray(np.arange(6).reshape(2, 3).astype(dtype)))
    [value] = values(apply(mod, sent, back))
    assert value.dtype == dtype
    expected = np.arange(6).reshape(2, 3) / math.sqrt(55)
    np.testing.assert_allclose(value.astype(np.complex128).real, expected, rtol=1e-2)


@each
def test_arrays_in_another_order_are_compared_by_name(mod: Mod) -> None:
    reply = apply(mod, arrays(a=[0.0], b=[9.0, 9.0]), arrays(b=[9.0, 9.0], a=[3.0]))
    assert reply.content["model"] == arrays(b=[9.0, 9.0], a=[1.0])


@each
def test_the_model_is_that_which_was_sent_even_if_the_app_empties_it(mod: Mod) -> None:
    def train(message: Message, _: Context) -> Message:
        [array] = message.content["arrays"].to_numpy_ndarrays(keep_input=False)
        return Message(trained(arrays(a=array + 3)), reply_to=message)

    [value] = values(mod(instruction(arrays(a=[4.0])), context(), train))
    np.testing.assert_array_equal(value, [5.0])


@each
@pytest.mark.parametrize("message_type", ["train", "train.fine_tune"])
def test_every_action_of_training_is_clipped(mod: Mod, message_type: str) -> None:
    [value] = values(apply(mod, arrays(a=[0.0]), arrays(a=[8.0]), message_type))
    assert value == 1.0


@each
@pytest.mark.parametrize("message_type", ["evaluate", "evaluate.x", "query", "query.train"])
def test_other_messages_are_passed_through(mod: Mod, message_type: str) -> None:
    content = RecordDict({"metrics": MetricRecord({"loss": 1.0})})
    reply = Message(content, reply_to=instruction(arrays(a=[0.0]), message_type))
    passed = mod(instruction(arrays(a=[0.0]), message_type), context(), lambda *_: reply)
    assert passed is reply
    assert passed.content is content


@each
def test_error_replies_are_passed_on(mod: Mod) -> None:
    error = Error(2, "boom")
    assert mod(instruction(arrays(a=[0.0])), context(), answering(error)).error is error


@each
def test_mods_of_a_clientapp_leave_its_other_functions_alone(mod: Mod) -> None:
    app = ClientApp(mods=[mod])

    @app.train()
    def train(message: Message, _: Context) -> Message:
        return Message(trained(arrays(a=[4.0])), reply_to=message)

    @app.evaluate()
    def evaluate(message: Message, _: Context) -> Message:
        return Message(RecordDict({"m": MetricRecord({"loss": 1.0})}), reply_to=message)

    assert values(app(instruction(arrays(a=[0.0])), context()))[0] == 1.0
    assert app(instruction(arrays(a=[0.0]), "evaluate"), context()).content["m"]["loss"] == 1.0


def refused(mod: Mod, message: Message, content: RecordDict) -> str:
    reply = mod(message, context(), answering(content))
    assert reply.error.code == 6
    assert reply.metadata.message_type == message.metadata.message_type
    assert reply.error.reason is not None
    return reply.error.reason


@each
@pytest.mark.parametrize(
    ("back", "reason"),
    [
        (RecordDict({"metrics": MetricRecord()}), "exactly one ArrayRecord, but found 0"),
        (
            RecordDict({"a": arrays(a=[0.0]), "b": arrays(), "m": MetricRecord()}),
            "exactly one ArrayRecord, but found 2",
        ),
        (trained(arrays(b=[0.0, 0.0])), "keys in the ArrayRecord of the reply"),
        (trained(arrays(a=[0.0])), r"array 'a' to come back as it was sent.*\(2,\).*\(1,\)"),
        (trained(arrays(a=[0, 0])), "array 'a' to come back as it was sent, float64.*int64"),
        (trained(arrays(a=[0j, 0j])), "array 'a' to come back.*complex128"),
        (
            trained(ArrayRecord({"a": Array("float64", (2,), "foreign", b"x")})),
            "cannot read the arrays",
        ),
    ],
)
def test_a_reply_that_cannot_be_clipped_is_refused(
    mod: Mod, back: RecordDict, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "flwr"):
        refusal = refused(mod, instruction(arrays(a=[0.0, 0.0])), back)
    assert len(caplog.records) == 1
    assert re.search(reason, refusal)
    assert refusal in caplog.text


@each
def test_an_instruction_with_two_models_is_refused_before_training(mod: Mod) -> None:
    message = instruction(arrays(a=[0.0]))
    message.content["more"] = arrays(a=[0.0])

    def train(_message: Message, _context: Context) -> Message:
        raise AssertionError("trained")

    assert mod(message, context(), train).error.code == 6


clipping = pytest.mark.parametrize("mod", MODS[:2])


@clipping
def test_an_instruction_without_a_bound_names_the_wrapper(mod: Mod) -> None:
    message = instruction(arrays(a=[0.0]))
    message.content["config"] = ConfigRecord()
    kind = "Fixed" if mod is fixedclipping_mod else "Adaptive"
    reason = refused(mod, message, trained(arrays(a=[0.0])))
    assert "requires the key 'clipping_norm'" in reason
    assert f"DifferentialPrivacyClientSide{kind}Clipping" in reason
    del message.content["config"]
    reason = refused(mod, message, trained(arrays(a=[0.0])))
    assert "exactly one ConfigRecord, but found 0" in reason


@clipping
@pytest.mark.parametrize("bound", [0.0, -1.0, math.nan, "1.0", True, [1.0]])
def test_a_bound_that_is_no_number_above_0_is_refused(mod: Mod, bound: Any) -> None:
    reason = refused(mod, instruction(arrays(a=[0.0]), bound=bound), trained(arrays(a=[0.0])))
    assert "number above 0" in reason


@clipping
def test_a_whole_bound_is_a_number_too(mod: Mod) -> None:
    reply = mod(
        instruction(arrays(a=[0.0]), bound=2), context(), answering(trained(arrays(a=[8.0])))
    )
    assert values(reply)[0] == 2.0


@pytest.mark.parametrize(
    ("back", "bit"), [([0.6, 0.8], 0), ([0.0, 0.0], 0), ([3.0, 4.0], 1), ([math.nan, 0.0], 1)]
)
def test_norm_bit_is_1_if_the_update_was_longer_than_the_bound(back: list[float], bit: int) -> None:
    reply = apply(adaptiveclipping_mod, arrays(a=[0.0, 0.0]), arrays(a=back))
    assert reply.content["metrics"] == {"num-examples": 3, "norm_bit": bit}


def test_norm_bit_needs_one_metric_record() -> None:
    reason = refused(
        adaptiveclipping_mod,
        instruction(arrays(a=[0.0])),
        RecordDict({"model": arrays(a=[0.0])}),
    )
    assert "exactly one MetricRecord, but found 0" in reason


def test_local_noise_has_the_calibrated_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", bytes)
    size = 200_000
    sent, back = arrays(a=np.zeros(size), n=3), arrays(a=np.ones(size), n=4)
    for mechanism, stddev in (("classical", 4.844805262605389), ("analytic", 3.730631634815942)):
        mod = LocalDpMod(math.sqrt(size) / 2, 1.0, 1.0, 1e-5, mechanism=mechanism)
        noised, count = values(apply(mod, sent, back))
        assert noised.mean() == pytest.approx(0.5, abs=5 * stddev / math.sqrt(size))
        assert noised.std() == pytest.approx(stddev, rel=0.01)
        assert count == 3


def test_local_noise_is_different_for_each_reply() -> None:
    mod = LocalDpMod(1.0, 1.0, 1.0, 1e-5)
    sent = arrays(a=np.zeros(8))
    first, second = (values(apply(mod, sent, arrays(a=np.zeros(8))))[0] for _ in range(2))
    assert not np.array_equal(first, second)


def test_local_noise_does_not_come_from_what_a_fork_inherits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[int] = []
    monkeypatch.setattr(os, "urandom", lambda count: drawn.append(count) or bytes(count))
    mod = LocalDpMod(1.0, 1.0, 1.0, 1e-5)
    assert not drawn
    apply(mod, arrays(a=[0.0]), arrays(a=[0.0]))
    assert drawn


@pytest.mark.parametrize(
    "values_",
    [
        (0.0, 1.0, 1.0, 1e-5),
        (math.inf, 1.0, 1.0, 1e-5),
        (1.0, -1.0, 1.0, 1e-5),
        (1.0, 1.0, 0.0, 1e-5),
        (1.0, 1.0, math.inf, 1e-5),
        (1.0, 1.0, -1.0, 1e-5),
        (1.0, 1.0, 1.0, 0.0),
        (1.0, 1.0, 1.0, 1.0),
        (1.0, 1.0, 1.0, 1.25),
        (math.nan, 1.0, 1.0, 1e-5),
    ],
)
def test_local_dp_refuses_values_that_mean_nothing(
    values_: tuple[float, float, float, float],
) -> None:
    with pytest.raises(ValueError, match="should|lie between"):
        LocalDpMod(*values_)


@pytest.mark.parametrize("value", ["1.0", None, [1.0], True, 1j])
@pytest.mark.parametrize("name", ["clipping_norm", "sensitivity", "epsilon", "delta"])
def test_local_dp_names_a_setting_that_is_no_number(name: str, value: Any) -> None:
    settings = {"clipping_norm": 1.0, "sensitivity": 1.0, "epsilon": 1.0, "delta": 1e-5}
    given = re.escape(f"Given: {name}={value!r}, of type {type(value).__name__}.")
    with pytest.raises(ValueError, match=f"should .*{given}"):
        LocalDpMod(**{**settings, name: value})


@pytest.mark.parametrize("mechanism", ["laplace", ["classical"], None])
def test_local_dp_refuses_an_unknown_mechanism(mechanism: Any) -> None:
    with pytest.raises(ValueError, match="classical, analytic"):
        LocalDpMod(1.0, 1.0, 1.0, 1e-5, mechanism=mechanism)


def test_the_classical_formula_beyond_its_proof_is_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "flwr"):
        LocalDpMod(1.0, 1.0, 1.0, 1e-5)
        LocalDpMod(1.0, 1.0, 8.0, 1e-5, mechanism="analytic")
        assert not caplog.records
        LocalDpMod(1.0, 1.0, 8.0, 1e-5)
    assert "proven for epsilon <= 1" in caplog.text


def test_log_lines_are_the_documented_ones(caplog: pytest.LogCaptureFixture) -> None:
    sent, back = arrays(a=[0.0]), arrays(a=[1.0])
    with caplog.at_level(logging.INFO, "flwr"):
        for mod in (fixedclipping_mod, adaptiveclipping_mod, LocalDpMod(1.0, 1.0, 1.0, 1e-5)):
            apply(mod, sent, back)
    assert caplog.messages == [
        "fixedclipping_mod: parameters are clipped by value: 1.0000.",
        "adaptiveclipping_mod: ndarrays are clipped by value: 1.0000.",
        "LocalDpMod: parameters are clipped by value: 1.0000.",
        "LocalDpMod: local DP noise with 4.8448 stddev added to parameters",
    ]
