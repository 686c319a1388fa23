"""What every strategy makes of the replies of one round."""

import logging
import math
import random
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from cases import CASES, NODES, NUMERIC, Case
from fake_grid import FakeGrid, reply
from federations import aggregate, aggregated, alike, as_replies, ask, bits, finite, honest, kinds

from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.serverapp.exception import AggregationError, InconsistentMessageReplies
from flwr.serverapp.strategy import FedAvg, FedMedian, FedProx, MultiKrum

all_strategies = pytest.mark.parametrize("case", CASES, ids=str)
numeric_strategies = pytest.mark.parametrize("case", NUMERIC, ids=str)
weighted_strategies = pytest.mark.parametrize("case", [c for c in CASES if c.weighted], ids=str)
cohort_strategies = pytest.mark.parametrize("case", [c for c in CASES if not c.turns], ids=str)
named_strategies = pytest.mark.parametrize("case", [c for c in NUMERIC if not c.turns], ids=str)

DTYPES = [
    np.int8, np.uint16, np.int64, np.bool_, np.float16, ml_dtypes.bfloat16, np.float32, np.float64,
    ">f4", "<c8",
]  # fmt: skip
W = np.ones(2, np.float32)


def with_arrays(answer: RecordDict, arrays: ArrayRecord) -> RecordDict:
    return RecordDict({**answer, "arrays": arrays})


def with_metrics(answer: RecordDict, **metrics: object) -> RecordDict:
    return RecordDict({**answer, "metrics": MetricRecord({**answer["metrics"], **metrics})})


def changed(arrays: ArrayRecord, name: str, values: np.ndarray) -> ArrayRecord:
    return ArrayRecord({**arrays, name: Array(values)})


def warnings_in(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(r.getMessage() for r in caplog.records if r.levelno == logging.WARNING)


# --- arrays ----------------------------------------------------------------------------------


@numeric_strategies
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 1, 2)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: np.dtype(dtype).name)
def test_a_model_that_no_node_changes_stays_bit_for_bit(
    case: Case, dtype: object, shape: tuple[int, ...]
) -> None:
    values = (np.arange(math.prod(shape)).reshape(shape) % 5).astype(np.dtype(dtype))
    values = np.asarray(values)
    model = ArrayRecord({"other": Array(np.ones(2, np.float32)), "values": Array(values)})
    if case.orders and values.dtype.kind == "c" and values.size:
        with pytest.raises(AggregationError, match="'values' has dtype complex64.* no order"):
            aggregated(case, model, alike(case, model))
    else:
        assert bits(aggregated(case, model, alike(case, model))) == bits(model)


@numeric_strategies
def test_counters_that_no_float_holds_stay_exact(case: Case) -> None:
    model = ArrayRecord({"count": Array(np.array([2**60 + 1, 5, -(2**62) - 3])), "w": Array(W)})
    assert bits(aggregated(case, model, alike(case, model))) == bits(model)


@all_strategies
def test_names_dtypes_and_shapes_are_those_of_the_model(case: Case) -> None:
    model = case.model()
    arrays = aggregated(case, model, honest(case, model))
    assert list(arrays) == list(model)
    if not case.trees:
        assert kinds(arrays) == kinds(model)
        assert all(values.all() for values in finite(arrays).values())


@numeric_strategies
def test_an_empty_model_has_no_arrays_to_aggregate(case: Case) -> None:
    model = ArrayRecord()
    assert len(aggregated(case, model, [case.reply(model, node) for node in range(NODES)])) == 0


@named_strategies
def test_arrays_are_matched_by_name_not_by_place(case: Case) -> None:
    model = case.model()
    answers = honest(case, model)
    expected = bits(aggregated(case, model, answers))
    for places in ([1], [0, 4], range(NODES)):
        moved = [
            with_arrays(answer, ArrayRecord(dict(reversed(answer["arrays"].items()))))
            if place in places
            else answer
            for place, answer in enumerate(answers)
        ]
        arrays = aggregated(case, model, moved)
        assert bits(arrays) == expected
        assert list(arrays) == list(model)  # nodes may unpack it by place


@named_strategies
@pytest.mark.parametrize("node", [0, NODES - 1])
def test_arrays_that_do_not_fit_are_refused_by_name(case: Case, node: int) -> None:
    model = case.model()
    answers = honest(case, model)
    arrays = answers[node]["arrays"]
    bias = arrays["layer.bias"].numpy()
    wrong = {
        "layer.bias": changed(arrays, "layer.bias", bias[:1]),
        "layer.bias'": changed(arrays, "layer.bias", bias.astype(np.float32)),
        "extra": changed(arrays, "extra", bias),
        "mask": ArrayRecord({n: a for n, a in arrays.items() if n != "mask"}),
    }
    for name, record in wrong.items():
        given = [with_arrays(a, record) if a is answers[node] else a for a in answers]
        with pytest.raises(InconsistentMessageReplies, match=f"node {node + 1}.*") as error:
            aggregate(case, model, given)
        assert name.rstrip("'") in str(error.value)


@named_strategies
def test_an_array_that_all_replies_lack_is_named_with_the_node(case: Case) -> None:
    """Upstream's average then leaves it out of the model without a word."""
    model = case.model()
    lacking = [
        with_arrays(a, ArrayRecord({n: x for n, x in a["arrays"].items() if n != "mask"}))
        for a in honest(case, model)
    ]
    with pytest.raises(InconsistentMessageReplies, match=r"node 1 .*array 'mask' is missing"):
        aggregate(case, model, lacking)


@pytest.mark.parametrize("cls", [FedAvg, FedProx, FedMedian, MultiKrum])
def test_nodes_may_call_all_arrays_otherwise(
    cls: type[FedAvg], caplog: pytest.LogCaptureFixture
) -> None:
    """A server that sends a state_dict and nodes that answer with a list work together upstream."""
    [case] = [case for case in CASES if case.cls is cls]
    model = case.model()

    def renamed(arrays: ArrayRecord) -> ArrayRecord:
        return ArrayRecord({str(place): array for place, array in enumerate(arrays.values())})

    answers = honest(case, model)
    expected = renamed(aggregated(case, model, answers))
    moved = [with_arrays(answer, renamed(answer["arrays"])) for answer in answers]
    caplog.clear()
    arrays = aggregated(case, model, moved)
    assert bits(arrays) == bits(expected)
    assert "Node 1 was sent arrays 'layer.weight', ... and calls them '0', ..." in caplog.text
    lost = with_arrays(moved[0], ArrayRecord({"0": moved[0]["arrays"]["0"]}))
    with pytest.raises(InconsistentMessageReplies, match="does not fit the model"):
        aggregate(case, model, [lost])


@pytest.mark.parametrize("method", ["configure_train", "aggregate_train"])
def test_a_subclass_may_leave_arrays_out_on_purpose(method: str) -> None:
    def override(self: Any, *args: Any) -> Any:
        return getattr(FedAvg, method)(self, *args)

    [case] = [case for case in CASES if case.cls is FedAvg]
    model = case.model()
    part = [with_arrays(a, ArrayRecord({"w": Array(W)})) for a in honest(case, model)]
    strategy = case.make(type("Mine", (FedAvg,), {method: override}))
    arrays, _ = aggregate(case, model, part, strategy)
    assert arrays is not None
    assert list(arrays) == ["w"]


@all_strategies
def test_a_reply_needs_one_record_of_each_kind(case: Case) -> None:
    model = case.model()
    [first, *rest] = honest(case, model)
    arrays, metrics = first["arrays"], first["metrics"]
    for wrong in (
        RecordDict({"metrics": metrics}),
        RecordDict({"arrays": arrays}),
        RecordDict({"arrays": arrays, "more": arrays, "metrics": metrics}),
        RecordDict({"arrays": arrays, "metrics": metrics, "more": metrics}),
    ):
        with pytest.raises(InconsistentMessageReplies, match="Expected exactly one .* node 1"):
            aggregate(case, model, [wrong, *rest])


@numeric_strategies
def test_a_nan_spreads_to_its_place_only_or_is_kept_out(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    model = case.model()
    answers = honest(case, model)
    weight = answers[0]["arrays"]["layer.weight"].numpy()
    weight[1, 0] = np.nan
    answers[0] = with_arrays(answers[0], changed(answers[0]["arrays"], "layer.weight", weight))
    found = finite(aggregated(case, model, answers))
    spoilt = found.pop("layer.weight")
    assert all(values.all() for values in found.values())
    if case.nan == "spreads":
        assert (~spoilt).sum() == 1
        assert not spoilt[1, 0]
        if not case.turns:
            assert "'layer.weight' of node 1" in warnings_in(caplog)
    else:
        assert case.nan == "kept out"
        assert spoilt.all()


# --- weights ---------------------------------------------------------------------------------


@weighted_strategies
def test_only_the_ratio_of_examples_counts(case: Case) -> None:
    model = case.model()
    answers = honest(case, model)
    scaled = [
        with_metrics(answer, **{"num-examples": 1024 * answer["metrics"]["num-examples"]})
        for answer in answers
    ]
    assert bits(aggregated(case, model, scaled)) == bits(aggregated(case, model, answers))


@pytest.mark.parametrize("case", [c for c in CASES if not c.weighted], ids=str)
def test_examples_do_not_count_where_nodes_are_equal(case: Case) -> None:
    model = case.model()
    answers = honest(case, model)
    uneven = [
        with_metrics(answer, **{"num-examples": 10**node}) for node, answer in enumerate(answers)
    ]
    assert bits(aggregated(case, model, uneven)) == bits(aggregated(case, model, answers))


@all_strategies
def test_uneven_nodes_give_a_finite_model(case: Case) -> None:
    model = case.model()
    uneven = [
        with_metrics(answer, **{"num-examples": 10**node})
        for node, answer in enumerate(honest(case, model))
    ]
    arrays = aggregated(case, model, uneven)
    assert all(values.all() for values in finite(arrays).values())


@weighted_strategies
def test_nodes_without_examples_do_not_count(case: Case) -> None:
    if case.turns:
        return
    model = case.model()
    answers = honest(case, model)
    emptied = [
        with_metrics(a, **{"num-examples": 0}) if n < 2 else a for n, a in enumerate(answers)
    ]
    alone = as_replies(answers)[2:]
    strategy = case.make()
    ask(strategy, model)
    expected, _ = strategy.aggregate_train(1, alone)
    assert bits(aggregated(case, model, emptied)) == bits(expected)


@all_strategies
def test_a_round_without_any_examples_is_skipped_with_a_warning(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    model = case.model()
    strategy = case.make()
    answers = honest(case, model)
    nothing = [with_metrics(answer, **{"num-examples": 0}) for answer in answers]
    assert aggregate(case, model, nothing, strategy)[0] is None
    assert "'num-examples' is 0 in all" in warnings_in(caplog)
    arrays, _ = aggregate(case, model, answers, strategy)
    assert bits(arrays) == bits(aggregated(case, model, answers))


@all_strategies
@pytest.mark.parametrize("weight", [-1, math.nan, math.inf])
def test_weights_that_are_none_are_refused(case: Case, weight: float) -> None:
    model = case.model()
    [first, *rest] = honest(case, model)
    with pytest.raises(InconsistentMessageReplies, match="node 1 is .*finite and not negative"):
        aggregate(case, model, [with_metrics(first, **{"num-examples": weight}), *rest])


# --- who answers -----------------------------------------------------------------------------


@cohort_strategies
def test_nodes_that_fail_or_stay_away_are_left_out(
    case: Case, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    model = case.model()
    answers = honest(case, model)
    failing: list[RecordDict | Error] = list(answers)
    failing[3] = Error(1, "out of memory")
    strategy = case.make()
    ask(strategy, model)
    missing = [reply for node, reply in enumerate(as_replies(answers)) if node != 3]
    expected, _ = strategy.aggregate_train(1, missing)
    assert bits(aggregated(case, model, failing)) == bits(expected)
    assert "Received 8 results and 1 failures" in caplog.text
    assert "error in reply from node 4: out of memory" in caplog.text


@all_strategies
@pytest.mark.parametrize("answers", [[], [Error(1, "out of memory")]], ids=["none", "errors"])
def test_a_round_without_results_is_skipped(case: Case, answers: list[Error]) -> None:
    model = case.model()
    strategy = case.make()
    assert aggregate(case, model, answers, strategy) == (None, None)
    good = honest(case, model)
    arrays, _ = aggregate(case, model, good, strategy)
    assert bits(arrays) == bits(aggregated(case, model, good))


@all_strategies
def test_few_replies_will_do_or_the_round_is_skipped(case: Case) -> None:
    model = case.model()
    for count in range(1, case.least + 1):
        answers = honest(case, model, nodes=range(count))
        arrays, _ = aggregate(case, model, answers)
        assert (arrays is not None) == (count == case.least)


@all_strategies
def test_replies_and_what_was_sent_are_not_changed(case: Case) -> None:
    model, config = case.model(), ConfigRecord({"lr": 0.5})
    before = bits(model)
    strategy = case.make()
    messages = list(strategy.configure_train(1, model, config, FakeGrid(range(1, NODES + 1))))
    assert config == {"lr": 0.5}
    sent = [snapshot(message) for message in messages]
    replies = as_replies(honest(case, model))
    received = [snapshot(reply) for reply in replies]
    arrays, _ = strategy.aggregate_train(1, replies)
    assert arrays is not None
    assert [snapshot(reply) for reply in replies] == received
    assert [snapshot(message) for message in messages] == sent
    assert bits(model) == before


def snapshot(message: Message) -> list[object]:
    return [
        (name, bits(record) if isinstance(record, ArrayRecord) else dict(record))
        for name, record in message.content.items()
    ]


@all_strategies
def test_a_list_and_a_stream_give_the_same_bits(case: Case) -> None:
    model = case.model()
    answers = honest(case, model)
    listed, list_metrics = aggregate(case, model, answers)
    streamed, stream_metrics = aggregate(case, model, answers, wrap=iter)
    assert bits(listed) == bits(streamed)
    assert list_metrics == stream_metrics


@cohort_strategies
@pytest.mark.parametrize("seed", [0, 1])
def test_the_order_of_a_list_changes_no_bit(case: Case, seed: int) -> None:
    model = case.model()
    answers = honest(case, model)

    def shuffled(replies: list[Message]) -> list[Message]:
        return random.Random(seed).sample(replies, len(replies))

    arrays, metrics = aggregate(case, model, answers)
    other_arrays, other_metrics = aggregate(case, model, answers, wrap=shuffled)
    assert bits(other_arrays) == bits(arrays)
    assert other_metrics == metrics


@all_strategies
def test_aggregating_before_sending_works_or_is_refused_clearly(case: Case) -> None:
    answers = as_replies(honest(case, case.model()))
    if case.from_model:
        with pytest.raises(AggregationError, match="configure_train"):
            case.make().aggregate_train(1, answers)
    else:
        arrays, _ = case.make().aggregate_train(1, answers)
        assert bits(arrays) == bits(aggregated(case, case.model(), honest(case, case.model())))


# --- metrics ---------------------------------------------------------------------------------


@all_strategies
def test_metrics_are_weighted_by_the_examples_of_the_nodes_that_count(case: Case) -> None:
    model = case.model()
    answers = honest(case, model)
    counted: list[MetricRecord] = []

    def note(contents: list[RecordDict], key: str) -> MetricRecord:
        counted.extend(content["metrics"] for content in contents)
        return MetricRecord({key: len(contents)})

    _, own = aggregate(case, model, answers, case.make(train_metrics_aggr_fn=note))
    assert own == {"num-examples": 1 if case.turns else case.selects}
    _, metrics = aggregate(case, model, answers)
    assert metrics is not None
    weights = [record["num-examples"] for record in counted]
    accuracies = [record["accuracy"] for record in counted]
    assert metrics["accuracy"] == pytest.approx(np.average(accuracies, weights=weights))
    assert "num-examples" not in metrics


@all_strategies
def test_users_functions_aggregate_metrics_of_evaluation(case: Case) -> None:
    def total(contents: list[RecordDict], key: str) -> MetricRecord:
        return MetricRecord({key: sum(content["metrics"][key] for content in contents)})

    strategy = case.make(evaluate_metrics_aggr_fn=total)
    answers = [RecordDict({"metrics": MetricRecord({"num-examples": n})}) for n in (3, 4)]
    assert strategy.aggregate_evaluate(1, as_replies(answers)) == {"num-examples": 7}


@all_strategies
def test_evaluation_is_the_weighted_mean(case: Case) -> None:
    strategy = case.make()
    records = [MetricRecord({"num-examples": n, "loss": n / 4}) for n in (1, 3)]
    answers = [reply(n, RecordDict({"m": r}), "evaluate") for n, r in enumerate(records, 1)]
    assert strategy.aggregate_evaluate(1, [*answers, reply(3, Error(1, "x"), "evaluate")]) == {
        "loss": 0.625
    }
    assert strategy.aggregate_evaluate(1, []) is None
