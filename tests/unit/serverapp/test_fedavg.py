"""FedAvg: what is sent, the checks on replies, and the numbers that come out."""

import logging
import math
from fractions import Fraction

import numpy as np
import pytest
from fake_grid import FakeGrid, arrays_of, content, replies, reply

from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.serverapp.exception import AggregationError, InconsistentMessageReplies
from flwr.serverapp.strategy import FedAvg


def mean_of(*pairs: tuple[ArrayRecord, float]) -> list[np.ndarray]:
    answers = [content(arrays, weight) for arrays, weight in pairs]
    arrays, _ = FedAvg().aggregate_train(1, replies(*answers))
    assert arrays is not None
    return arrays.to_numpy_ndarrays()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


# --- settings --------------------------------------------------------------------------------


def test_defaults() -> None:
    strategy = FedAvg()
    functions = strategy.train_metrics_aggr_fn, strategy.evaluate_metrics_aggr_fn
    contents = [content(weight=1, loss=1.0), content(weight=3, loss=2.0)]
    assert [f(contents, "num-examples") for f in functions] == [MetricRecord({"loss": 1.75})] * 2
    settings = {k: v for k, v in vars(strategy).items() if not k.endswith("_fn")}
    assert settings == {
        "fraction_train": 1.0,
        "fraction_evaluate": 1.0,
        "min_train_nodes": 2,
        "min_evaluate_nodes": 2,
        "min_available_nodes": 2,
        "weighted_by_key": "num-examples",
        "arrayrecord_key": "arrays",
        "configrecord_key": "config",
    }


@pytest.mark.parametrize(("phase", "name"), [("train", "training"), ("evaluate", "evaluation")])
def test_a_fraction_of_zero_skips_the_phase(
    phase: str, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    strategy = FedAvg(**{f"fraction_{phase}": 0.0, f"min_{phase}_nodes": 5})
    assert warnings(caplog) == [
        f"fraction_{phase} is set to 0.0. Federated {name} will be skipped."
    ]
    assert getattr(strategy, f"min_{phase}_nodes") == 0
    configure = getattr(strategy, f"configure_{phase}")
    assert list(configure(1, arrays_of([1.0]), ConfigRecord(), FakeGrid({1, 2}))) == []


def test_messages_carry_the_model_and_the_config_under_the_chosen_names() -> None:
    strategy = FedAvg(arrayrecord_key="a", configrecord_key="c")
    arrays, config = arrays_of([1.0]), ConfigRecord({"lr": 0.5})
    messages = list(strategy.configure_train(7, arrays, config, FakeGrid({4, 9})))
    assert {m.metadata.dst_node_id for m in messages} == {4, 9}
    assert {m.metadata.message_type for m in messages} == {"train"}
    assert list(messages[0].content) == ["a", "c"]
    assert messages[0].content["a"] is arrays
    assert messages[0].content["c"] == {"lr": 0.5, "server-round": 7}
    assert config == {"lr": 0.5}
    [first, _] = strategy.configure_evaluate(7, arrays, config, FakeGrid({4, 9}))
    assert first.metadata.message_type == "evaluate"


# --- numbers ---------------------------------------------------------------------------------


def test_models_are_weighted_by_examples() -> None:
    [mean] = mean_of((arrays_of([1.0, 2.0]), 1), (arrays_of([3.0, 6.0]), 3))
    assert mean.tolist() == [2.5, 5.0]
    assert mean.dtype == np.float32


def test_the_mean_does_not_change_the_replies() -> None:
    sent = [arrays_of([1.0, 2.0]), arrays_of([3.0, 6.0])]
    mean_of((sent[0], 1), (sent[1], 3))
    assert [each.to_numpy_ndarrays()[0].tolist() for each in sent] == [[1.0, 2.0], [3.0, 6.0]]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", "uint8", "complex64"])
def test_a_single_reply_comes_out_bit_by_bit(dtype: str) -> None:
    values = np.random.default_rng(1).uniform(0, 200, 1000).astype(dtype)
    [mean] = mean_of((ArrayRecord([values]), 17))
    np.testing.assert_array_equal(mean, values)
    assert mean.dtype == values.dtype


def test_equal_replies_of_equal_weight_come_out_bit_by_bit() -> None:
    values = np.random.default_rng(1).standard_normal(1000).astype(np.float32)
    [mean] = mean_of(*[(ArrayRecord([values]), 11)] * 4)
    np.testing.assert_array_equal(mean, values)


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("int64", [1, 2], 2),  # 1.5, half to even
        ("int64", [2, 3], 2),  # 2.5, half to even
        ("int64", [-3, -4], -4),
        ("uint8", [255, 255], 255),
        ("int8", [-128, -128], -128),
        ("int64", [2**63 - 1, 2**63 - 1], 2**63 - 1),
        ("uint64", [2**64 - 1, 2**64 - 1], 2**64 - 1),
        ("bool", [True, False], True),
        ("float16", [1.0, 2.0], 1.5),
        ("float64", [0.1, 0.3], 0.2),
        (">f4", [1.0, 2.0], 1.5),
        (">i2", [1, 4], 2),
        ("complex64", [1 + 2j, 3 - 4j], 2 - 1j),
        ("complex128", [1 + 2j, 3 - 4j], 2 - 1j),
    ],
)
def test_results_have_the_dtype_of_the_replies(
    dtype: str, values: list[complex], expected: complex
) -> None:
    pairs = [(ArrayRecord([np.array([value] * 3, dtype)]), 1) for value in values]
    [mean] = mean_of(*pairs)
    assert mean.dtype == np.dtype(dtype)
    assert mean.tolist() == [expected] * 3


@pytest.mark.parametrize("dtype", ["int64", "uint64", ">i8"])
@pytest.mark.parametrize("base", [2**53 + 1, 2**62 + 1, 2**63 - 70])
@pytest.mark.parametrize("steps", [[0], [0, 2], [0, 1], [1, 2], [3, 4, 1, 2, 0, 40, 20]])
def test_whole_numbers_that_no_float_holds_are_averaged_exactly(
    dtype: str, base: int, steps: list[int]
) -> None:
    pairs = [(ArrayRecord([np.array([base + step], dtype)]), 3) for step in steps]
    [mean] = mean_of(*pairs)
    assert mean.tolist() == [round(Fraction(sum(base + step for step in steps), len(steps)))]
    assert mean.dtype == np.dtype(dtype)


@pytest.mark.parametrize(
    ("dtype", "values"),
    [("int64", [-(2**63), 2**63 - 1]), ("uint64", [2**64 - 1, 0]), ("uint64", [0, 0, 2**64 - 1])],
)
def test_whole_numbers_further_apart_than_they_reach_are_averaged_roughly(
    dtype: str, values: list[int]
) -> None:
    [mean] = mean_of(*[(ArrayRecord([np.array([value], dtype)]), 1) for value in values])
    assert abs(int(mean[0]) - sum(values) / len(values)) < 2**12


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_narrow_floats_are_summed_in_float32(name: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    dtype = np.dtype(getattr(ml_dtypes, name))
    one = ArrayRecord([np.ones(3, dtype)])
    [mean] = mean_of(*[(one, 1)] * 1000)  # in its own dtype the sum would stop far below 1000
    assert mean.dtype == dtype
    assert mean.astype(np.float32).tolist() == [1.0] * 3


def test_a_bool_goes_with_the_heavier_half() -> None:
    pairs = [(ArrayRecord([np.array(v)]), w) for v, w in [([1, 0, 1], 2.0), ([0, 1, 1], 3.0)]]
    pairs = [(ArrayRecord([r.to_numpy_ndarrays()[0].astype(bool)]), w) for r, w in pairs]
    [mean] = mean_of(*pairs)
    assert mean.tolist() == [False, True, True]


def test_shapes_and_order_of_arrays_are_kept() -> None:
    arrays = {
        "weight": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "steps": np.array(7),
        "empty": np.zeros((0, 3), np.float32),
        "mask": np.array([True]),
        "bias": np.ones(3),
    }
    record = ArrayRecord({name: Array(array) for name, array in arrays.items()})
    aggregated, _ = FedAvg().aggregate_train(1, replies(*[content(record)] * 3))
    assert aggregated is not None
    assert list(aggregated) == list(arrays)
    for (name, array), mean in zip(arrays.items(), aggregated.to_numpy_ndarrays(), strict=True):
        np.testing.assert_array_equal(mean, array, err_msg=name)
        assert (mean.shape, mean.dtype) == (array.shape, array.dtype)


def test_arrays_are_matched_by_name_not_by_position() -> None:
    x, y = Array(np.full(2, 1.0)), Array(np.full(3, 5.0))
    first, second = ArrayRecord({"x": x, "y": y}), ArrayRecord({"y": y, "x": x})
    aggregated, _ = FedAvg().aggregate_train(1, replies(content(first), content(second)))
    assert aggregated is not None
    assert list(aggregated) == ["x", "y"]
    assert [a.tolist() for a in aggregated.to_numpy_ndarrays()] == [[1.0] * 2, [5.0] * 3]


def test_memory_order_and_byte_order_may_differ_between_replies() -> None:
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    records = [
        ArrayRecord([values]),
        ArrayRecord([np.asfortranarray(values)]),
        ArrayRecord([values.astype(">f4")]),
    ]
    [mean] = mean_of(*((record, 1) for record in records))
    np.testing.assert_array_equal(mean, values)


def test_arrays_given_as_encoded_bytes_are_read() -> None:
    plain = Array(np.full(2, 3.0, np.float32))
    encoded = Array(plain.dtype, plain.shape, plain.stype, plain.data)
    for pair in ([encoded, encoded], [encoded, plain], [plain, encoded]):
        [mean] = mean_of(*((ArrayRecord({"w": array}), 1) for array in pair))
        assert mean.tolist() == [3.0, 3.0]


def test_an_empty_model_stays_empty() -> None:
    assert mean_of((ArrayRecord(), 1), (ArrayRecord(), 2)) == []


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1.0, 1e30, 1e300])
def test_the_scale_of_the_weights_does_not_matter(scale: float) -> None:
    values = arrays_of([1.0, 2.0]), arrays_of([3.0, 6.0])
    [mean] = mean_of((values[0], 1 * scale), (values[1], 3 * scale))
    np.testing.assert_allclose(mean, [2.5, 5.0], rtol=1e-6)


def test_a_weight_beside_which_the_others_are_nothing_wins() -> None:
    records = arrays_of([5.0]), arrays_of([7.0])
    [mean] = mean_of((records[0], 1e-300), (records[1], 1e300), (records[0], 1e-300))
    assert mean.tolist() == [7.0]


# --- weights and failures --------------------------------------------------------------------


def test_error_replies_are_left_out_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    answers = [content(arrays_of([2.0])), Error(2, "ValueError: x"), Error(5, None)]
    arrays, metrics = FedAvg().aggregate_train(1, replies(*answers))
    assert arrays == arrays_of([2.0])
    assert metrics == {}
    assert [r.getMessage() for r in caplog.records] == [
        "aggregate_train: Received 1 results and 2 failures",
        "\t> Received error in reply from node 2: ValueError: x",
        "\t> Received error in reply from node 3: error code 5",
    ]


def test_only_failures_aggregate_to_nothing() -> None:
    assert FedAvg().aggregate_train(1, replies(Error(2, "x"))) == (None, None)
    assert FedAvg().aggregate_evaluate(1, replies(Error(2, "x"))) is None


def test_weights_that_are_all_zero_skip_the_round(caplog: pytest.LogCaptureFixture) -> None:
    answers = [content(arrays_of([1.0]), 0, loss=1.0)] * 2
    assert FedAvg().aggregate_train(1, replies(*answers)) == (None, None)
    assert FedAvg().aggregate_evaluate(1, replies(*answers)) is None
    assert warnings(caplog) == [
        f"aggregate_{phase}: key 'num-examples' is 0 in all 2 replies; nothing is aggregated in "
        "this round"
        for phase in ("train", "evaluate")
    ]


def test_a_reply_of_weight_zero_counts_nothing_not_even_its_nan() -> None:
    answers = [
        content(arrays_of([math.nan]), 0, loss=math.nan),
        content(arrays_of([2.0]), 5, loss=0.5),
    ]
    arrays, metrics = FedAvg().aggregate_train(1, replies(*answers))
    assert arrays == arrays_of([2.0])
    assert metrics == {"loss": 0.5}


@pytest.mark.parametrize("weight", [-1, -0.5, math.nan, math.inf, 10**400])
def test_a_weight_that_is_none_is_refused(weight: float) -> None:
    answers = [content(arrays_of([1.0]), 1), content(arrays_of([1.0]), weight)]
    with pytest.raises(InconsistentMessageReplies, match=r"'num-examples'.*'metrics' of node 2"):
        FedAvg().aggregate_train(1, replies(*answers))


def test_the_weighting_key_may_be_another() -> None:
    strategy = FedAvg(weighted_by_key="w")
    answers = [
        content(arrays_of([1.0]), None, w=1, loss=1.0),
        content(arrays_of([2.0]), None, w=3, loss=2.0),
    ]
    arrays, metrics = strategy.aggregate_train(1, replies(*answers))
    assert arrays == arrays_of([1.75])
    assert metrics == {"loss": 1.75}


# --- consistency checks ----------------------------------------------------------------------


def record(**arrays: list[float]) -> ArrayRecord:
    return ArrayRecord({name: Array(np.array(values)) for name, values in arrays.items()})


GOOD = RecordDict({"a": record(w=[1.0]), "m": MetricRecord({"num-examples": 1, "loss": 0.1})})


def changed(**records: object) -> RecordDict:
    """A good reply with some records replaced, or left out where None."""
    merged = {**GOOD, **records}
    return RecordDict({name: value for name, value in merged.items() if value is not None})


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (changed(a=None), r"exactly one ArrayRecord in the reply of node 2, found 0.*'m'"),
        (changed(b=record(w=[1.0])), r"exactly one ArrayRecord in the reply of node 2, found 2"),
        (
            changed(a=None, b=record(w=[1.0])),
            r"Node 2 calls its ArrayRecord 'b', node 1 calls it 'a'",
        ),
        (changed(a=record(v=[1.0])), r"'a' of node 2 lacks 'w' and adds 'v', compared with node 1"),
        (changed(a=record()), r"'a' of node 2 lacks 'w', compared"),
        (changed(a=record(w=[1.0], v=[1.0])), r"'a' of node 2 adds 'v', compared"),
        (
            changed(a=record(w=[1.0, 2.0])),
            r"Array 'w' in ArrayRecord 'a' of node 2 has shape \(2,\), that of node 1 has \(1,\)",
        ),
        (
            changed(a=ArrayRecord({"w": Array(np.array([1.0], np.float32))})),
            r"Array 'w' in ArrayRecord 'a' of node 2 has dtype float32, .* node 1 has float64",
        ),
    ],
)
def test_replies_to_training_must_hold_the_same_arrays(odd: RecordDict, message: str) -> None:
    with pytest.raises(InconsistentMessageReplies, match=message):
        FedAvg().aggregate_train(1, replies(GOOD, odd))


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (changed(m=None), r"exactly one MetricRecord in the reply of node 2, found 0"),
        (
            changed(n=MetricRecord({"num-examples": 1})),
            r"exactly one MetricRecord in the reply of node 2, found 2",
        ),
        (
            changed(m=None, n=MetricRecord({"num-examples": 1, "loss": 0.1})),
            r"Node 2 calls its MetricRecord 'n', node 1 calls it 'm'",
        ),
        (
            changed(m=MetricRecord({"num-examples": 1})),
            r"The MetricRecord of node 2 lacks 'loss', compared with node 1",
        ),
        (
            changed(m=MetricRecord({"num-examples": 1, "loss": 0.1, "acc": 1.0})),
            r"The MetricRecord of node 2 adds 'acc', compared with node 1",
        ),
        (
            changed(m=MetricRecord({"num-examples": 1, "loss": [0.1, 0.2]})),
            r"Metric 'loss' of node 2 is a list of 2, that of node 1 is a single number",
        ),
        (
            changed(m=MetricRecord({"loss": 0.1})),
            r"Missing required key 'num-examples' in MetricRecord 'm' of node 2.*'loss'",
        ),
        (
            changed(m=MetricRecord({"num-examples": [1], "loss": 0.1})),
            r"Key 'num-examples' in MetricRecord 'm' of node 2 is a list",
        ),
    ],
)
@pytest.mark.parametrize("phase", ["train", "evaluate"])
def test_replies_must_hold_the_same_metrics(phase: str, odd: RecordDict, message: str) -> None:
    with pytest.raises(InconsistentMessageReplies, match=message):
        getattr(FedAvg(), f"aggregate_{phase}")(1, replies(GOOD, odd))


def test_lists_of_different_length_are_refused() -> None:
    answers = [content(weight=1, h=[1.0, 2.0]), content(weight=1, h=[1.0])]
    with pytest.raises(
        InconsistentMessageReplies, match=r"of node 2 is a list of 1, that of node 1 is a list"
    ):
        FedAvg().aggregate_evaluate(1, replies(*answers))


def test_only_the_first_names_are_shown_of_many() -> None:
    many = ArrayRecord([np.ones(1)] * 50)
    with pytest.raises(InconsistentMessageReplies, match=r"lacks '0', '1', '2' and 47 more"):
        FedAvg().aggregate_train(1, replies(content(many), content(ArrayRecord())))


def test_replies_to_evaluation_may_hold_arrays_or_not() -> None:
    answers = [content(weight=1, loss=1.0), content(arrays_of([1.0]), 1, loss=2.0)]
    assert FedAvg().aggregate_evaluate(1, replies(*answers)) == {"loss": 1.5}


def test_a_refusal_still_logs_what_came(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    answers = [GOOD, Error(2, "boom"), changed(a=record(v=[1.0]))]
    with pytest.raises(InconsistentMessageReplies):
        FedAvg().aggregate_train(1, replies(*answers))
    assert "\t> Received error in reply from node 2: boom" in caplog.messages


@pytest.mark.parametrize("array", [np.array(["a"]), np.array(["2020-01-01"], "datetime64[D]")])
def test_arrays_without_a_mean_are_refused(array: np.ndarray) -> None:
    answer = content(ArrayRecord({"w": Array(array)}))
    with pytest.raises(AggregationError, match=r"Array 'w' has dtype .* no mean"):
        FedAvg().aggregate_train(1, replies(answer, answer))


def test_arrays_of_a_foreign_kind_are_refused() -> None:
    answer = content(ArrayRecord({"w": Array("float32", (1,), "my.tensor", b"1234")}))
    with pytest.raises(AggregationError, match=r"'arrays' of node 1.*my\.tensor"):
        FedAvg().aggregate_train(1, replies(answer))


def test_exit_codes_are_the_documented_ones() -> None:
    assert InconsistentMessageReplies(reason="x").exit_code == 200
    assert AggregationError(reason="x").exit_code == 202
    assert str(AggregationError(reason="why")) == "why"


# --- NaN -------------------------------------------------------------------------------------


def test_nan_in_a_model_comes_out_with_a_warning_that_names_its_node(
    caplog: pytest.LogCaptureFixture,
) -> None:
    good, bad = arrays_of([1.0], [1.0, 2.0]), arrays_of([1.0], [1.0, math.nan])
    answers = [content(good), content(bad), content(good), content(bad)]
    for given in (replies(*answers), iter(replies(*answers))):
        caplog.clear()
        arrays, _ = FedAvg().aggregate_train(1, given)
        assert arrays is not None
        first, second = arrays.to_numpy_ndarrays()
        assert first.tolist() == [1.0]
        assert second[0] == 1.0
        assert math.isnan(second[1])
        assert warnings(caplog) == [
            (
                "aggregate_train: the aggregated arrays are not finite, because of array "
                "'1' of node 2, array '1' of node 4"
            )
        ]


def test_a_nan_metric_comes_out_with_a_warning_that_names_it_and_its_nodes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answers = [
        content(weight=1, loss=1.0, h=[1.0, 2.0]),
        content(weight=1, loss=math.nan, h=[1.0, 2.0]),
        content(weight=1, loss=math.nan, h=[math.nan, 2.0]),
    ]
    metrics = FedAvg().aggregate_evaluate(1, replies(*answers))
    assert metrics is not None
    assert math.isnan(metrics["loss"])
    assert math.isnan(metrics["h"][0])
    assert metrics["h"][1] == 2.0
    assert warnings(caplog) == [
        "aggregate_evaluate: metric 'loss' is NaN at node 2, 3; so is the aggregated value",
        "aggregate_evaluate: metric 'h' is NaN at node 3; so is the aggregated value",
    ]


def test_infinite_values_give_no_numpy_warnings() -> None:
    [mean] = mean_of((arrays_of([math.inf]), 1), (arrays_of([-math.inf]), 2))
    assert math.isnan(mean[0])


# --- metrics ---------------------------------------------------------------------------------


def test_metrics_are_weighted_and_the_weight_is_left_out() -> None:
    answers = [
        content(weight=1, loss=1, h=[1.0, 3.0], empty=[]),
        content(weight=3, loss=2, h=[2.0, 5.0], empty=[]),
    ]
    metrics = FedAvg().aggregate_evaluate(1, replies(*answers))
    assert metrics == {"loss": 1.75, "h": [1.75, 4.5], "empty": []}
    assert isinstance(metrics["loss"], float)


def test_a_metric_too_large_for_a_float_is_named() -> None:
    with pytest.raises(InconsistentMessageReplies, match="Metric 'n' of node 1 is too large"):
        FedAvg().aggregate_evaluate(1, replies(content(weight=1, n=10**400)))


def test_a_metrics_function_replaces_the_mean() -> None:
    def largest(contents: list[RecordDict], key: str) -> MetricRecord:
        assert key == "num-examples"
        return MetricRecord({"max": max(c["metrics"]["loss"] for c in contents)})

    strategy = FedAvg(train_metrics_aggr_fn=largest, evaluate_metrics_aggr_fn=largest)
    answers = [content(arrays_of([1.0]), 1, loss=n) for n in (3.0, 9.0, 1.0)]
    assert strategy.aggregate_train(1, replies(*answers))[1] == {"max": 9.0}
    assert strategy.aggregate_evaluate(1, iter(replies(*answers))) == {"max": 9.0}


def test_a_metrics_function_that_returns_something_else_is_named() -> None:
    def broken(*_: object) -> float:
        return 0.5

    with pytest.raises(TypeError, match=r"broken must return a MetricRecord.*float 0\.5"):
        FedAvg(evaluate_metrics_aggr_fn=broken).aggregate_evaluate(1, replies(content()))


def test_messages_made_by_hand_are_aggregated() -> None:
    made = [reply(5, content(arrays_of([1.0]), 1)), reply(6, content(arrays_of([3.0]), 1))]
    assert all(isinstance(each, Message) for each in made)
    assert FedAvg().aggregate_train(1, made)[0] == arrays_of([2.0])


def test_a_metrics_function_also_wants_the_same_names_but_not_the_same_lengths() -> None:
    strategy = FedAvg(evaluate_metrics_aggr_fn=lambda contents, _: MetricRecord({"n": 1}))
    good = [content(weight=1, h=[1.0]), content(weight=1, h=[1.0, 2.0])]
    assert strategy.aggregate_evaluate(1, replies(*good)) == {"n": 1}
    with pytest.raises(InconsistentMessageReplies, match="node 2 lacks 'h' and adds 'g'"):
        strategy.aggregate_evaluate(1, replies(good[0], content(weight=1, g=[1.0])))
