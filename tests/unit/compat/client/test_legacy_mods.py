"""The mods of `flwr.client.mod`: they work on the records of `FitIns` and `FitRes`."""

import logging
from collections.abc import Callable
from typing import Any

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
from flwr.client.mod import (
    LocalDpMod,
    adaptiveclipping_mod,
    fixedclipping_mod,
    secagg_mod,
    secaggplus_mod,
)
from flwr.clientapp import ClientApp
from flwr.common import (
    Code,
    FitIns,
    FitRes,
    Parameters,
    Status,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
)
from flwr.common.recorddict_compat import (
    fitins_to_recorddict,
    fitres_to_recorddict,
    recorddict_to_fitres,
)

Mod = Callable[..., Message]

OLD = [np.ones((2, 2), np.float32), np.array(1.0), np.array(3, np.int64)]
NEW = [np.full((2, 2), 4, np.float32), np.array(9.0), np.array(4, np.int64)]  # the norm is 10
LOCAL = LocalDpMod(5.0, 0.0, 1.0, 1e-5)  # no noise
CLIPPING = [fixedclipping_mod, adaptiveclipping_mod, LOCAL]


def context() -> Context:
    return Context(1, 2, {}, RecordDict(), {})


def instruction(config: dict[str, Any] | None = None, kind: str = "train") -> Message:
    given = {"clipping_norm": 5.0} if config is None else config
    ins = FitIns(ndarrays_to_parameters(OLD), given)
    return Message(fitins_to_recorddict(ins, keep_input=True), 2, kind)


def trained(arrays: list[np.ndarray] = NEW, code: Code = Code.OK, **metrics: Any) -> FitRes:
    return FitRes(Status(code, ""), ndarrays_to_parameters(arrays), 7, metrics)


def through(mod: Mod, result: FitRes | None = None, message: Message | None = None) -> FitRes:
    result = trained() if result is None else result

    def app(message: Message, context: Context) -> Message:
        return Message(fitres_to_recorddict(result, keep_input=True), reply_to=message)

    reply = mod(message or instruction(), context(), app)
    return recorddict_to_fitres(reply.content, keep_input=True)


@pytest.mark.parametrize("kind", ["train", "train.locally"])
@pytest.mark.parametrize("mod", CLIPPING)
def test_an_update_is_clipped_to_the_bound(mod: Mod, kind: str) -> None:
    message = instruction(kind=kind)
    result = through(mod, trained(loss=0.5), message)
    weights, scalar, counter = parameters_to_ndarrays(result.parameters)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, np.full((2, 2), 2.5))
    assert float(scalar) == 5.0
    assert counter.tolist() == 3, "what holds no floats goes back as it was sent"
    assert (result.num_examples, result.metrics["loss"]) == (7, 0.5)
    np.testing.assert_array_equal(message.content["fitins.parameters"]["0"].numpy(), OLD[0])


@pytest.mark.parametrize("mod", CLIPPING)
def test_an_update_within_the_bound_stays(mod: Mod) -> None:
    near = [OLD[0] + 1, OLD[1], OLD[2]]
    result = through(mod, trained(near))
    np.testing.assert_array_equal(parameters_to_ndarrays(result.parameters)[0], near[0])


@pytest.mark.parametrize("mod", CLIPPING)
def test_a_zero_update_and_one_that_is_not_finite_change_nothing(mod: Mod) -> None:
    for arrays in (OLD, [OLD[0] * np.nan, OLD[1], OLD[2]], [OLD[0], np.array(np.inf), OLD[2]]):
        result = through(mod, trained(arrays))
        for array, expected in zip(parameters_to_ndarrays(result.parameters), OLD, strict=True):
            np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("mod", CLIPPING)
def test_serialised_tensors_are_clipped_too(mod: Mod) -> None:
    result = trained()
    assert len(result.parameters.tensors) == 3
    got = parameters_to_ndarrays(through(mod, result).parameters)
    np.testing.assert_allclose(got[0], np.full((2, 2), 2.5))


@pytest.mark.parametrize(
    ("arrays", "clipped"),
    [(NEW, True), (OLD, False), ([OLD[0] * np.inf, OLD[1], OLD[2]], True)],
)
def test_the_adaptive_mod_tells_whether_the_update_was_longer(
    arrays: list[np.ndarray], clipped: bool
) -> None:
    assert through(adaptiveclipping_mod, trained(arrays, a=1)).metrics == {
        "a": 1,
        "norm_bit": clipped,
    }
    assert through(fixedclipping_mod, trained(arrays, a=1)).metrics == {"a": 1}


def test_local_noise_has_its_standard_deviation() -> None:
    many = np.zeros(20_000)
    ins = FitIns(ndarrays_to_parameters([many]), {})
    message = Message(fitins_to_recorddict(ins, keep_input=True), 2, "train")
    mod = LocalDpMod(1.0, 2.0, 0.5, 1e-5)
    got = parameters_to_ndarrays(through(mod, trained([many]), message).parameters)[0]
    assert got.std() == pytest.approx(2 * np.sqrt(2 * np.log(1.25e5)) / 0.5, rel=0.05)
    with pytest.raises(ValueError, match="Delta"):
        LocalDpMod(1.0, 2.0, 0.5, 0.0)


@pytest.mark.parametrize("kind", ["evaluate", "query", "get_parameters"])
@pytest.mark.parametrize("mod", CLIPPING)
def test_other_messages_are_passed_on(mod: Mod, kind: str) -> None:
    message = Message(RecordDict(), 2, kind)
    answer = Message(RecordDict(), reply_to=message)
    assert mod(message, context(), lambda message, context: answer) is answer


@pytest.mark.parametrize("mod", CLIPPING)
def test_replies_without_an_update_are_passed_on(mod: Mod) -> None:
    message = instruction()
    error = Message(Error(2, "failed"), reply_to=message)
    assert mod(message, context(), lambda message, context: error) is error
    assert error.has_error()
    nothing = FitRes(Status(Code.FIT_NOT_IMPLEMENTED, "no"), Parameters([], ""), 0, {})
    assert through(mod, nothing) == nothing
    empty = trained([])
    assert through(mod, empty) == empty


@pytest.mark.parametrize("mod", CLIPPING)
@pytest.mark.parametrize(
    "arrays",
    [NEW[:2], [*NEW, NEW[0]], [NEW[0].T.reshape(4), *NEW[1:]], [NEW[0].astype(int), *NEW[1:]]],
)
def test_arrays_that_do_not_come_back_as_they_were_sent_are_refused(
    mod: Mod, arrays: list[np.ndarray]
) -> None:
    with pytest.raises(ValueError, match="expects"):
        through(mod, trained(arrays))


def test_arrays_are_matched_by_their_places() -> None:
    def app(message: Message, context: Context) -> Message:
        content = fitres_to_recorddict(trained(), keep_input=True)
        named = zip(["weight", "bias", "steps"], NEW, strict=True)
        content["fitres.parameters"] = ArrayRecord({name: Array(a) for name, a in named})
        return Message(content, reply_to=message)

    reply = fixedclipping_mod(instruction(), context(), app)
    result = recorddict_to_fitres(reply.content, keep_input=True)
    assert float(parameters_to_ndarrays(result.parameters)[1]) == 5.0


@pytest.mark.parametrize("mod", [fixedclipping_mod, adaptiveclipping_mod])
def test_a_missing_or_wrong_bound_is_named(mod: Mod) -> None:
    with pytest.raises(KeyError, match="clipping_norm value is not supplied by the Differential"):
        through(mod, message=instruction({}))
    for wrong in ("1.0", True, 0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="clipping_norm should be a float"):
            through(mod, message=instruction({"clipping_norm": wrong}))
    assert through(mod, message=instruction({"clipping_norm": 5})).num_examples == 7


@pytest.mark.parametrize("mod", CLIPPING)
def test_records_of_the_message_api_are_refused(mod: Mod) -> None:
    content = RecordDict({"arrays": ArrayRecord(NEW), "config": ConfigRecord()})
    message = Message(content, 2, "train")
    with pytest.raises(KeyError, match=r"fitins\.parameters"):
        through(mod, message=message)
    answer = RecordDict({"arrays": ArrayRecord(NEW), "metrics": MetricRecord()})
    with pytest.raises(KeyError, match=r"fitres\."):
        mod(instruction(), context(), lambda message, context: Message(answer, reply_to=message))


def test_what_was_done_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    through(fixedclipping_mod)
    through(adaptiveclipping_mod)
    through(LOCAL)
    assert caplog.messages == [
        "fixedclipping_mod: parameters are clipped by value: 5.0000.",
        "adaptiveclipping_mod: parameters are clipped by value: 5.0000.",
        "LocalDpMod: parameters are clipped by value: 5.0000.",
        "LocalDpMod: local DP noise with 0.0000 stddev added to parameters",
    ]


@pytest.mark.parametrize("mod", [secagg_mod, secaggplus_mod])
def test_secure_aggregation_says_that_it_comes_later(mod: Mod) -> None:
    app = ClientApp(mods=[mod])

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return Message(RecordDict(), reply_to=message)

    with pytest.raises(NotImplementedError, match="comes with a later version"):
        app(instruction(), context())
