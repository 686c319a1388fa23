"""Krum, MultiKrum and Bulyan: whose models and metrics count."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_grid import FakeGrid, arrays_of, content, replies, reply

from flwr.app import ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.serverapp.exception import AggregationError, InconsistentMessageReplies
from flwr.serverapp.strategy import Bulyan, Krum, MultiKrum
from flwr.serverapp.strategy.multikrum import select_multikrum

DATA = Path(__file__).parents[3] / "data" / "strategies.json"
VECTORS: dict[str, Any] = {v["id"]: v for v in json.loads(DATA.read_text())["vectors"]}
CLOSE = (1.0, 1.25, 1.5, 1.0, 1.25, 1.0)  # and then an outlier


def answers_of(*values: float, weights: tuple[float, ...] | None = None) -> list[Message]:
    weights = weights or tuple(range(1, len(values) + 1))
    return replies(
        *(
            content(arrays_of([v, -v]), w, loss=float(i))
            for i, (v, w) in enumerate(zip(values, weights, strict=True))
        )
    )


def vector_replies(vector: str) -> list[Message]:
    [each] = VECTORS[vector]["rounds"]
    return replies(
        *(
            content(ArrayRecord([np.array(a) for a in r["arrays"]]), r["num_examples"], number=n)
            for n, r in enumerate(each["replies"])
        )
    )


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]


def values_of(arrays: ArrayRecord | None) -> list[Any]:
    assert arrays is not None
    return [array.tolist() for array in arrays.to_numpy_ndarrays()]


# --- Krum and MultiKrum ----------------------------------------------------------------------


def test_multikrum_of_the_paper_is_not_weighted() -> None:
    """Blanchard et al. 2017, section 4; upstream weights, which is the default here too."""
    vector = VECTORS["multikrum-n7-f1-m3"]
    [each] = vector["rounds"]
    for weighted, expected in ((True, "expected"), (False, "alternative_paper_unweighted")):
        strategy = MultiKrum(num_malicious_nodes=1, num_nodes_to_select=3, weighted=weighted)
        arrays, metrics = strategy.aggregate_train(1, vector_replies("multikrum-n7-f1-m3"))
        [actual], [wanted] = values_of(arrays), each[expected]
        assert actual == pytest.approx(wanted, rel=vector["rtol"])
        assert metrics is not None
        assert metrics["number"] == pytest.approx(np.average([6, 0, 1], weights=[70, 10, 20]))


def test_krum_takes_one_model_and_its_metrics_as_they_are() -> None:
    answers = answers_of(*CLOSE, 100.0)
    arrays, metrics = Krum(num_malicious_nodes=1).aggregate_train(1, answers)
    assert values_of(arrays) == [[1.0, -1.0]]
    assert metrics == MetricRecord({"loss": 0.0})


def test_more_than_there_are_means_all() -> None:
    """Upstream's older class takes the best two of five when it is to keep seven."""
    arrays, metrics = MultiKrum(num_nodes_to_select=7).aggregate_train(
        1, answers_of(1.0, 2.0, 3.0, 4.0, 5.0, weights=(1, 1, 1, 1, 1))
    )
    assert values_of(arrays) == [[3.0, -3.0]]
    assert metrics == {"loss": 2.0}


def test_a_model_with_nan_is_not_selected() -> None:
    """Upstream's scores are all NaN then, and the first model wins."""
    for bad in (np.nan, np.inf):
        arrays, metrics = Krum().aggregate_train(1, answers_of(bad, 1.0, 1.25, 2.0))
        assert values_of(arrays) == [[1.25, -1.25]]
        assert metrics == {"loss": 2.0}


def test_arrays_are_paired_by_name() -> None:
    """Upstream pairs them by position, so that a node with another order seems far away."""
    records = [arrays_of([k], [9 + k]) for k in (0, 1, 1.5)]
    turned = ArrayRecord({"1": records[1]["1"], "0": records[1]["0"]})
    arrays, _ = Krum().aggregate_train(1, replies(*map(content, [records[0], turned, records[2]])))
    assert arrays is not None
    assert {name: array.numpy().tolist() for name, array in arrays.items()} == {
        "0": [1.0],
        "1": [10.0],
    }


@pytest.mark.parametrize("strategy", [Krum(num_malicious_nodes=2), MultiKrum(1, 1, 2, 2, 2, 2, 3)])
def test_too_few_replies_for_the_guarantee_are_warned_of(
    strategy: MultiKrum, caplog: pytest.LogCaptureFixture
) -> None:
    arrays, _ = strategy.aggregate_train(1, answers_of(*CLOSE))
    assert arrays is not None
    [warning] = warnings(caplog)
    assert warning == (
        f"{type(strategy).__name__} gives no guarantee in this round: it needs at least 7 replies "
        "(2*num_malicious_nodes + 3), but received 6."
    )
    caplog.clear()
    strategy.aggregate_train(1, answers_of(*CLOSE, 9.0))
    assert warnings(caplog) == []


def test_krum_takes_a_model_whatever_its_weight() -> None:
    answers = answers_of(1.0, 5.0, 1.0, weights=(0, 3, 0))
    arrays, metrics = Krum().aggregate_train(1, answers)
    assert values_of(arrays) == [[1.0, -1.0]]
    assert metrics == {"loss": 0.0}


def test_models_without_weight_are_not_selected_where_weights_count() -> None:
    answers = answers_of(1.0, 5.0, 1.0, 6.0, weights=(0, 1, 0, 3))
    arrays, metrics = MultiKrum(num_nodes_to_select=2).aggregate_train(1, answers)
    assert values_of(arrays) == [[5.75, -5.75]]
    assert metrics == {"loss": 2.5}


@pytest.mark.parametrize("strategy", [MultiKrum(num_nodes_to_select=2, weighted=False), Bulyan()])
def test_where_weights_do_not_count_only_the_metrics_need_some(
    strategy: Any, caplog: pytest.LogCaptureFixture
) -> None:
    answers = answers_of(1.0, 9.0, 1.5, weights=(0, 1, 0))
    if isinstance(strategy, Bulyan):
        strategy.selection_rule = lambda contents, f, theta: [contents[0], contents[2]]
    arrays, metrics = strategy.aggregate_train(1, answers)
    assert values_of(arrays) == [[1.25, -1.25]]
    assert metrics is None
    [warning] = warnings(caplog)
    assert warning == (
        "aggregate_train: key 'num-examples' is 0 in all 2 selected replies; no metrics are "
        "aggregated in this round"
    )


def test_metrics_of_all_replies_are_checked_and_those_of_the_selected_given_to_a_function() -> None:
    given: list[list[float]] = []

    def function(contents: list[RecordDict], key: str) -> MetricRecord:
        given.append([float(each["metrics"]["loss"]) for each in contents])
        return MetricRecord({"key": len(key)})

    strategy = MultiKrum(
        num_malicious_nodes=1, num_nodes_to_select=3, train_metrics_aggr_fn=function
    )
    _, metrics = strategy.aggregate_train(1, answers_of(1.5, 1.2, 100.0, 0.9, 1.0, 1.7, 1.1))
    assert given == [[6.0, 1.0, 4.0]]  # the best first
    assert metrics == {"key": 12}
    odd = reply(9, content(arrays_of([500.0, 0.0]), accuracy=1.0))
    with pytest.raises(InconsistentMessageReplies, match="node 9 .*'accuracy'"):
        MultiKrum().aggregate_train(1, [*answers_of(*CLOSE), odd])


@pytest.mark.parametrize("cls", [Krum, MultiKrum, Bulyan])
def test_numbers_of_nodes_are_checked_at_construction(cls: Any) -> None:
    with pytest.raises(ValueError, match="`num_malicious_nodes` must not be negative, but is -1"):
        cls(num_malicious_nodes=-1)
    for wrong in (1.0, "1", True):
        with pytest.raises(ValueError, match=f"num_malicious_nodes must be a whole.*{wrong!r}"):
            cls(num_malicious_nodes=wrong)
    with pytest.raises(ValueError, match="`num_nodes_to_select` must be at least 1, but is 0"):
        MultiKrum(num_nodes_to_select=0)


def test_settings_stand_after_the_least_available_nodes() -> None:
    krum, multi, bulyan = Krum(1, 1, 3, 3, 3, 2), MultiKrum(1, 1, 3, 3, 3, 2, 4), Bulyan(
        1, 1, 3, 3, 3, 2, "n", "a", "c", None, None, select_multikrum
    )  # fmt: skip
    for strategy in (krum, multi, bulyan):
        assert strategy.num_malicious_nodes == 2
        assert strategy.min_available_nodes == 3
    assert (krum.num_nodes_to_select, multi.num_nodes_to_select) == (1, 4)
    assert (bulyan.weighted_by_key, bulyan.arrayrecord_key) == ("n", "a")
    assert bulyan.selection_rule is select_multikrum
    assert isinstance(krum, MultiKrum)


def test_settings_may_be_changed_between_rounds() -> None:
    strategy = MultiKrum(num_malicious_nodes=1)
    strategy.num_nodes_to_select = 6
    arrays, metrics = strategy.aggregate_train(1, answers_of(*CLOSE, 100.0, weights=(1,) * 7))
    assert values_of(arrays)[0][0] == pytest.approx(np.mean(CLOSE))
    assert metrics == {"loss": 2.5}


# --- Bulyan ----------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", ["bulyan-n7-f1", "bulyan-n8-f1"])
def test_bulyan_selects_by_the_paper_unless_told_otherwise(vector: str) -> None:
    """El Mhamdi et al. 2018, section 4; upstream takes the best of one pass."""
    case = VECTORS[vector]
    [each] = case["rounds"]
    for rule, expected, selected in (
        (None, "expected", "selected_iterative"),
        (select_multikrum, "upstream_message", "selected_top_theta"),
    ):
        strategy = Bulyan(num_malicious_nodes=1, selection_rule=rule)
        arrays, metrics = strategy.aggregate_train(1, vector_replies(vector))
        for actual, wanted in zip(values_of(arrays), each[expected], strict=True):
            assert actual == pytest.approx(wanted, rel=case["rtol"])
        weights = [each["replies"][node]["num_examples"] for node in each[selected]]
        assert metrics is not None
        assert metrics["number"] == pytest.approx(np.average(each[selected], weights=weights))


def test_bulyan_skips_a_round_with_too_few_replies(caplog: pytest.LogCaptureFixture) -> None:
    strategy = Bulyan(num_malicious_nodes=2)
    assert strategy.aggregate_train(1, answers_of(*CLOSE, *CLOSE[:4])) == (None, None)
    [warning] = warnings(caplog)
    assert warning == (
        "Insufficient replies, skipping Bulyan aggregation: Required at least 11 "
        "(4*num_malicious_nodes + 3), but received 10."
    )
    arrays, _ = strategy.aggregate_train(1, answers_of(*CLOSE, *CLOSE[:5]))
    assert arrays is not None


def test_bulyan_without_malicious_nodes_is_the_mean_of_all() -> None:
    arrays, metrics = Bulyan().aggregate_train(1, answers_of(1.0, 2.0, 6.0, weights=(9, 9, 9)))
    assert values_of(arrays) == [[3.0, -3.0]]
    assert metrics == {"loss": 1.0}


def test_bulyan_withstands_a_node_that_changes_one_coordinate_by_much() -> None:
    """The hidden vulnerability: far in one of many coordinates, close by distance."""
    generator = np.random.default_rng(0)
    models = generator.normal(0, 0.1, (11, 1000))
    models[[2, 7], 123] = 2.0
    answers = replies(*(content(ArrayRecord([model])) for model in models))
    arrays, _ = Bulyan(num_malicious_nodes=2).aggregate_train(1, answers)
    assert arrays is not None
    assert abs(arrays["0"].numpy()[123]) < 0.3


def test_a_rule_of_ones_own_is_given_contents_and_may_return_others() -> None:
    seen: list[Any] = []

    def rule(contents: list[RecordDict], malicious: int, theta: int) -> list[RecordDict]:
        seen.append((len(contents), malicious, theta))
        return [*contents[:3], content(arrays_of([1.25, -1.25]), 5, loss=7.0), contents[4]]

    strategy = Bulyan(num_malicious_nodes=1, selection_rule=rule)
    arrays, metrics = strategy.aggregate_train(1, answers_of(*CLOSE, 100.0))
    assert seen == [(7, 1, 5)]
    assert values_of(arrays) == [[1.25, -1.25]]
    assert metrics is not None
    assert metrics["loss"] == pytest.approx(np.average([0, 1, 2, 7, 4], weights=[1, 2, 3, 5, 5]))


def test_a_rule_that_returns_too_few_is_an_error() -> None:
    strategy = Bulyan(num_malicious_nodes=1, selection_rule=lambda contents, f, theta: contents[:2])
    with pytest.raises(AggregationError, match="2 models are too few: 2 values of each"):
        strategy.aggregate_train(1, answers_of(*CLOSE, 100.0))


# --- all of them -----------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", [Krum(), MultiKrum(num_nodes_to_select=2), Bulyan()])
def test_rounds_without_good_replies_are_skipped(
    strategy: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert strategy.aggregate_train(1, []) == (None, None)
    caplog.set_level(logging.INFO)
    assert strategy.aggregate_train(1, replies(Error(0, "gone"))) == (None, None)
    assert warnings(caplog) == []
    assert "Received 0 results and 1 failures" in caplog.text
    assert strategy.aggregate_train(1, answers_of(1.0, 2.0, 3.0, weights=(0, 0, 0))) == (None, None)
    [warning] = warnings(caplog)
    assert "'num-examples' is 0 in all 3 replies" in warning


@pytest.mark.parametrize(
    ("strategy", "lines"),
    [
        (
            Krum(num_malicious_nodes=2),
            [
                "\t├──> Krum settings:",
                "\t│\t└── Number of malicious nodes: 2",
                "\t├──> MultiKrum settings:",
                "\t│\t├── Number of malicious nodes: 2",
                "\t│\t└── Number of nodes to select: 1",
                "\t├──> Sampling:",
            ],
        ),
        (
            MultiKrum(num_nodes_to_select=3),
            [
                "\t├──> MultiKrum settings:",
                "\t│\t├── Number of malicious nodes: 0",
                "\t│\t└── Number of nodes to select: 3",
                "\t├──> Sampling:",
            ],
        ),
        (
            Bulyan(selection_rule=select_multikrum),
            [
                "\t├──> Bulyan settings:",
                "\t│\t├── Number of malicious nodes: 0",
                "\t│\t└── Selection rule: select_multikrum",
                "\t├──> Sampling:",
            ],
        ),
    ],
    ids=["Krum", "MultiKrum", "Bulyan"],
)
def test_summary(strategy: Any, lines: list[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    strategy.summary()
    assert [r.getMessage() for r in caplog.records][: len(lines)] == lines


def test_three_of_ten_malicious_nodes_change_little() -> None:
    """In rounds, where every honest node moves towards 1 and the malicious ones away from it."""

    def answer(message: Message) -> RecordDict:
        node, [model] = message.metadata.dst_node_id, message.content["arrays"].to_numpy_ndarrays()
        wanted = -50.0 if node <= 3 else 1 + node / 1000
        return content(ArrayRecord([model + (wanted - model) / 2]), 1000 if node <= 3 else 10)

    for make in (Krum, MultiKrum, Bulyan):
        strategy = make(num_malicious_nodes=3, fraction_evaluate=0.0)
        grid = FakeGrid(range(1, 16), answer)
        result = strategy.start(grid, arrays_of(np.zeros(4)), 8, train_config=ConfigRecord())
        assert values_of(result.arrays)[0] == pytest.approx([1.0] * 4, abs=0.03)


def test_a_selection_rule_that_is_no_function_is_refused() -> None:
    rule: Any = "krum"
    with pytest.raises(ValueError, match="selection_rule must be a function, not 'krum'"):
        Bulyan(selection_rule=rule)
