"""Adaptive clipping, Andrew et al. 2021 (arXiv:1905.03871): Algorithm 1 and Theorem 1."""

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dp_rounds import answers, model_of, round_of, unit, values_of
from fake_grid import AbleGrid, FakeGrid, content

from flwr.app import ArrayRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp.mod import adaptiveclipping_mod
from flwr.serverapp.exception import AggregationError
from flwr.serverapp.strategy import (
    DifferentialPrivacyClientSideAdaptiveClipping,
    DifferentialPrivacyServerSideAdaptiveClipping,
    FedAvg,
)

DATA = Path(__file__).parents[3] / "data" / "strategies.json"
VECTORS = {vector["id"]: vector for vector in json.loads(DATA.read_text())["vectors"]}
CLASSES = [
    DifferentialPrivacyServerSideAdaptiveClipping,
    DifferentialPrivacyClientSideAdaptiveClipping,
]


def server_side(*arguments: Any, **kwargs: Any) -> Any:
    return DifferentialPrivacyServerSideAdaptiveClipping(FedAvg(), *arguments, **kwargs)


def client_side(*arguments: Any, **kwargs: Any) -> Any:
    return DifferentialPrivacyClientSideAdaptiveClipping(FedAvg(), *arguments, **kwargs)


def bits_of(updates: Iterator[Any], bound: float) -> list[dict[str, int]]:
    return [{"norm_bit": int(np.linalg.norm(update) > bound)} for update in updates]


@pytest.mark.parametrize("kind", [server_side, client_side])
def test_algorithm_1_moves_the_bound_towards_the_quantile(kind: Any) -> None:
    vector = VECTORS["dp-adaptive-norm-update"]
    settings = vector["params"]
    strategy = kind(
        settings["noise_multiplier"],
        settings["num_sampled_clients"],
        settings["initial_clipping_norm"],
        settings["target_quantile"],
        settings["clip_norm_lr"],
        settings["clipped_count_stddev"],
    )
    initial = model_of(vector["initial"])
    for step in vector["rounds"]:
        bound = strategy.clipping_norm
        bits = [{"norm_bit": int(norm > bound)} for norm in step["update_norms"]]
        replies = answers(
            [each["arrays"] for each in step["replies"]],
            [each["num_examples"] for each in step["replies"]],
            bits if kind is client_side else None,
        )
        round_of(strategy, initial, replies, server_round=step["server_round"])
        assert strategy.clipping_norm == pytest.approx(
            step["expected_clipping_norm_after"], rel=vector["rtol"]
        )


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("case", VECTORS["dp-adaptive-noise-split"]["cases"])
def test_theorem_1_splits_the_noise(cls: Any, case: dict[str, Any]) -> None:
    strategy = cls(
        FedAvg(),
        case["noise_multiplier"],
        case["num_sampled_clients"],
        clipped_count_stddev=case["clipped_count_stddev_in"],
    )
    assert strategy.clipped_count_stddev == case["clipped_count_stddev"]
    assert strategy.noise_multiplier == pytest.approx(case["effective_noise_multiplier"], rel=1e-12)


@pytest.mark.parametrize("target", [0.3, 0.5, 0.8])
def test_the_bound_converges_to_the_target_quantile(target: float, monkeypatch: Any) -> None:
    monkeypatch.setattr(os, "urandom", bytes)
    generator = np.random.default_rng(5)
    cohort, initial = 40, model_of([np.zeros(1)])
    strategy = server_side(0.5, cohort, 0.01, target, 0.3)
    norms = generator.lognormal(0.0, 0.5, (150, cohort))
    reached = []
    for number, lengths in enumerate(norms, start=1):
        replies = answers([[[length]] for length in lengths])
        round_of(strategy, initial, replies, server_round=number)
        reached.append(strategy.clipping_norm)
    wanted = float(np.quantile(norms, 1 - target))
    assert np.mean(reached[75:]) == pytest.approx(wanted, rel=0.1)


@pytest.mark.parametrize("kind", [server_side, client_side])
def test_noise_is_scaled_with_the_bound_that_clipped(kind: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(os, "urandom", bytes)
    size, cohort, bound = 200_000, 4, 0.5
    strategy = kind(1.0, cohort, bound, 0.9, 2.0, 10.0)
    replies = answers([[np.zeros(size)]] * cohort, metrics=[{"norm_bit": 0}] * cohort)
    arrays, _ = round_of(strategy, model_of([np.zeros(size)]), replies)
    assert strategy.clipping_norm < bound / 2  # the new one is far off
    stddev = strategy.noise_multiplier * bound / cohort
    assert values_of(arrays)[0].std() == pytest.approx(stddev, rel=0.01)


def test_the_count_is_noised_and_a_missing_reply_is_half_a_clipped_one(monkeypatch: Any) -> None:
    bounds = []
    for seed in range(400):
        monkeypatch.setattr(os, "urandom", lambda count, seed=seed: seed.to_bytes(count, "little"))
        strategy = server_side(1.0, 4, 1.0, 0.5, 1.0, 2.0)
        replies = answers([[[9.0]], [[9.0]], Error(2, "x"), Error(2, "x")])
        round_of(strategy, model_of([[0.0]]), replies)
        bounds.append(np.log(strategy.clipping_norm))
    # 1/2 + (2 - 2/2 + N(0, 2)) / 4 - 1/2
    assert np.mean(bounds) == pytest.approx(0.25, abs=0.08)
    assert np.std(bounds) == pytest.approx(0.5, rel=0.12)


def test_without_noise_the_share_is_that_of_the_replies() -> None:
    strategy = server_side(0.0, 4, 1.0, 0.5, 1.0)
    round_of(strategy, model_of([[0.0]]), answers([[[9.0]], [[9.0]], Error(2, "x")]))
    assert strategy.clipping_norm == pytest.approx(np.exp(0.5))


@pytest.mark.parametrize("kind", [server_side, client_side])
def test_a_round_without_a_release_leaves_the_bound(kind: Any) -> None:
    strategy = kind(0.0, 2, 1.0)
    round_of(strategy, model_of([[0.0]]), [])
    assert strategy.clipping_norm == 1.0


def answered_by_mod(message: Message) -> RecordDict:
    """What a node with the mod answers."""

    def train(message: Message, _: Context) -> Message:
        [value] = message.content["arrays"].to_numpy_ndarrays()
        return Message(content(ArrayRecord([value + 3.0]), loss=0.5), reply_to=message)

    if message.metadata.message_type == "evaluate":
        return content()
    context = Context(0, 1, {}, RecordDict(), {})
    return adaptiveclipping_mod(message, context, train).content


@pytest.mark.parametrize("grid", [FakeGrid, AbleGrid])
def test_with_the_mod_it_moves_as_on_the_server(grid: Any) -> None:
    there = client_side(0.0, 2, 0.1, 0.25, 0.5)
    result = there.start(grid([1, 2], answered_by_mod), model_of([[0.0]]), num_rounds=3)
    here = server_side(0.0, 2, 0.1, 0.25, 0.5)
    initial = model_of([[0.0]])
    for _ in range(3):
        [value] = values_of(initial)
        arrays, _ = round_of(here, initial, answers([[value + 3.0]] * 2))
        assert arrays is not None
        initial = arrays
    assert there.clipping_norm == pytest.approx(here.clipping_norm, rel=1e-12)
    np.testing.assert_allclose(values_of(result.arrays)[0], values_of(initial)[0], rtol=1e-12)
    assert result.train_metrics_clientapp[3] == {"loss": 0.5}  # no norm_bit


def test_the_live_bound_is_sent() -> None:
    grid = FakeGrid([1, 2], answered_by_mod)
    client_side(0.0, 2, 1.0, 0.5, 1.0).start(grid, model_of([[0.0]]), num_rounds=2)
    sent = [messages[0].content["config"].get("clipping_norm") for messages in grid.sent]
    assert sent == [1.0, None, pytest.approx(np.exp(0.5)), None]


def test_a_second_start_begins_with_the_initial_bound() -> None:
    strategy, grid = client_side(0.0, 2, 1.0, 0.5, 1.0), FakeGrid([1, 2], answered_by_mod)
    for _ in range(2):
        strategy.start(grid, model_of([[0.0]]), num_rounds=1)
        assert strategy.clipping_norm == pytest.approx(np.exp(0.5))


def test_norm_bits_are_taken_out_before_metrics_are_aggregated_and_replies_stay() -> None:
    seen: list[RecordDict] = []

    def metrics(contents: list[RecordDict], _key: str) -> MetricRecord:
        seen.extend(contents)
        return MetricRecord({"n": 1})

    strategy = DifferentialPrivacyClientSideAdaptiveClipping(
        FedAvg(train_metrics_aggr_fn=metrics), 0.0, 2
    )
    replies = answers([[[0.0]]] * 2, metrics=[{"norm_bit": 0, "loss": 1.0}] * 2)
    round_of(strategy, model_of([[0.0]]), replies)
    assert [dict(content["metrics"]) for content in seen] == [{"num-examples": 1, "loss": 1.0}] * 2
    assert all(reply.content["metrics"]["norm_bit"] == 0 for reply in replies)


@pytest.mark.parametrize("cls", CLASSES)
def test_only_updates_that_the_strategy_takes_move_the_bound(cls: Any) -> None:
    class FirstTwo(FedAvg):
        def aggregate_train(self, server_round: int, replies: Any) -> Any:
            return super().aggregate_train(server_round, list(replies)[:2])

    strategy = cls(FirstTwo(), 0.0, 4, 1.0, 0.5, 1.0)
    bits = [{"norm_bit": 1}, {"norm_bit": 0}, {"norm_bit": 1}, {"norm_bit": 1}]
    replies = answers([[[9.0]], [[0.5]], [[9.0]], [[9.0]]], metrics=bits)
    round_of(strategy, model_of([[0.0]]), replies)
    assert strategy.clipping_norm == 1.0  # half of the two were longer


@pytest.mark.parametrize("share", [0, 1])
def test_a_wild_learning_rate_leaves_a_bound_that_is_usable(
    share: int, caplog: pytest.LogCaptureFixture
) -> None:
    strategy = server_side(0.0, 2, 1.0, 0.5, 1e4)
    for _ in range(2):
        replies = answers([[[1e300 * share]]] * 2)
        arrays, _ = round_of(strategy, model_of([[0.0]]), replies)
        assert 0 < strategy.clipping_norm < np.inf
        assert np.isfinite(values_of(arrays)[0]).all()
    assert "clip_norm_lr" in caplog.text


@pytest.mark.parametrize("bit", [2, -1, 0.5, float("nan"), [1]])
def test_a_bit_that_is_none_is_refused(bit: Any) -> None:
    replies = answers([[[0.0]]] * 2, metrics=[{"norm_bit": 1}, {"norm_bit": bit}])
    with pytest.raises(AggregationError, match="'norm_bit' of node 2 is"):
        round_of(client_side(0.0, 2), model_of([[0.0]]), replies)


def test_a_missing_bit_names_the_mod() -> None:
    with pytest.raises(AggregationError, match="node 1.*adaptiveclipping_mod"):
        round_of(client_side(0.0, 2), model_of([[0.0]]), answers([[[0.0]]] * 2))


def test_reclip_does_not_trust_the_nodes_lengths() -> None:
    strategy = client_side(0.0, 2, 1.0, reclip=True)
    replies = answers([[unit(4, 9.0)]] * 2, metrics=[{"norm_bit": 1}] * 2)
    arrays, _ = round_of(strategy, model_of([np.zeros(4)]), replies)
    assert np.linalg.norm(values_of(arrays)[0]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("kind", "title"),
    [
        (server_side, "Server-Side Adaptive Clipping"),
        (client_side, "Client-Side Adaptive Clipping"),
    ],
)
def test_the_summary_and_log_lines_are_the_documented_ones(
    kind: Any, title: str, caplog: pytest.LogCaptureFixture
) -> None:
    strategy = kind(0.0, 2)
    assert repr(strategy) == f"Differential Privacy Strategy Wrapper ({title})"
    with caplog.at_level(logging.INFO, "flwr"):
        strategy.summary()
        replies = answers([[[0.0]]] * 2, metrics=[{"norm_bit": 0}] * 2)
        round_of(strategy, model_of([[0.0]]), replies)
    assert caplog.messages[:5] == [
        "\t├──> DP settings:",
        "\t│\t├── Noise multiplier: 0.0",
        "\t│\t├── Clipping norm: 0.1",
        "\t│\t├── Target clipped quantile: 0.5",
        "\t│\t└── Clip norm learning rate: 0.2",
    ]
    clipped = "aggregate_train: arrays in `ArrayRecord` are clipped by value: 0.1000."
    assert (clipped in caplog.messages) == (kind is server_side)
    assert caplog.messages[-1] == "aggregate_fit: central DP noise with 0.0000 stdev added"


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"strategy": None}, "passed strategy is None"),
        ({"noise_multiplier": -1.0}, "noise multiplier should be a non-negative"),
        ({"num_sampled_clients": 0}, "number of sampled clients should be a positive"),
        ({"initial_clipping_norm": 0.0}, "initial clipping norm should be a positive"),
        ({"target_clipped_quantile": 1.1}, r"quantile must be in \[0, 1\]"),
        ({"clip_norm_lr": 0.0}, "learning rate must be positive"),
        ({"clipped_count_stddev": -1.0}, "clipped_count_stddev` must be non-negative"),
        ({"noise_multiplier": 3.0}, "less than twice clipped_count_stddev"),
    ],
)
def test_settings_out_of_range_are_refused(
    cls: Any, arguments: dict[str, Any], message: str
) -> None:
    good = {"strategy": FedAvg(), "noise_multiplier": 0.0, "num_sampled_clients": 20}
    with pytest.raises(ValueError, match=message):
        cls(**{**good, **arguments})
