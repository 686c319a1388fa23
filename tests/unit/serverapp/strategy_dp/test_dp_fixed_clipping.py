"""Fixed clipping, McMahan et al. 2018 (arXiv:1710.06963): w + 1/m sum(clip(u_k)) + noise."""

import json
import logging
import os
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from dp_rounds import answers, model_of, named, round_of, unit, values_of, warnings_in
from fake_grid import AbleGrid, FakeGrid, content

from flwr.app import ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp.mod import fixedclipping_mod
from flwr.serverapp.exception import AggregationError, InconsistentMessageReplies
from flwr.serverapp.strategy import (
    DifferentialPrivacyClientSideFixedClipping,
    DifferentialPrivacyServerSideFixedClipping,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedProx,
)

DATA = Path(__file__).parents[3] / "data" / "strategies.json"
VECTOR = next(
    vector
    for vector in json.loads(DATA.read_text())["vectors"]
    if vector["id"] == "dp-serverside-fixed-noiseless"
)


def server_side(noise: float = 0.0, bound: float = 1.0, cohort: int = 2, **kwargs: Any) -> Any:
    return DifferentialPrivacyServerSideFixedClipping(FedAvg(), noise, bound, cohort, **kwargs)


def client_side(noise: float = 0.0, bound: float = 1.0, cohort: int = 2, **kwargs: Any) -> Any:
    return DifferentialPrivacyClientSideFixedClipping(FedAvg(), noise, bound, cohort, **kwargs)


def test_the_vector_without_noise() -> None:
    [only] = VECTOR["rounds"]
    replies = answers(
        [each["arrays"] for each in only["replies"]],
        [each["num_examples"] for each in only["replies"]],
    )
    strategy = server_side(cohort=3, bound=VECTOR["params"]["clipping_norm"])
    arrays, _ = round_of(strategy, model_of(VECTOR["initial"]), replies)
    for value, expected in zip(values_of(arrays), only["expected"], strict=True):
        np.testing.assert_allclose(value, expected, rtol=VECTOR["rtol"])


def test_each_update_counts_the_same_once_there_is_noise() -> None:
    [only] = VECTOR["rounds"]
    replies = answers(
        [each["arrays"] for each in only["replies"]],
        [each["num_examples"] for each in only["replies"]],
    )
    arrays, _ = round_of(server_side(1e-12, cohort=3), model_of(VECTOR["initial"]), replies)
    for value, expected in zip(values_of(arrays), only["alternative_uniform_weights"], strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-6)


def test_one_client_moves_the_mean_by_no_more_than_c_over_m() -> None:
    replies = answers([[[100.0]], [[0.0]], [[0.0]]], examples=[1_000_000, 1, 1])
    arrays, _ = round_of(server_side(1e-12, bound=0.5, cohort=3), model_of([[0.0]]), replies)
    np.testing.assert_allclose(values_of(arrays)[0], [0.5 / 3], rtol=1e-6)


@pytest.mark.parametrize("kind", [server_side, client_side])
def test_noise_has_standard_deviation_z_c_over_m(kind: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(os, "urandom", bytes)  # the noise repeats
    size, noise, bound, cohort = 200_000, 1.3, 4.0, 5
    update = unit(size, bound)
    initial = np.linspace(-1, 1, size)
    replies = answers([[initial + update]] * cohort)
    arrays, _ = round_of(kind(noise, bound, cohort), model_of([initial]), replies)
    error = values_of(arrays)[0] - (initial + update)
    assert error.std() == pytest.approx(noise * bound / cohort, rel=0.01)
    assert error.mean() == pytest.approx(0.0, abs=0.01)
    assert abs(np.corrcoef(error[:-1], error[1:])[0, 1]) < 0.01


def test_noise_is_not_numpys_global_one() -> None:
    released = []
    for _ in range(2):
        np.random.seed(1)
        arrays, _ = round_of(server_side(1.0), model_of([[0.0] * 8]), answers([[[0.0] * 8]] * 2))
        released.append(values_of(arrays)[0])
    assert not np.array_equal(*released)


def test_fewer_replies_make_the_update_smaller_and_not_the_noise(
    caplog: pytest.LogCaptureFixture, monkeypatch: Any
) -> None:
    monkeypatch.setattr(os, "urandom", bytes)
    size = 100_000
    replies = answers([[unit(size)], Error(2, "ValueError: boom"), [unit(size)]])
    with caplog.at_level(logging.INFO, "flwr"):
        arrays, metrics = round_of(server_side(1.0, 1.0, 4), model_of([np.zeros(size)]), replies)
    [value] = values_of(arrays)
    assert value.std() == pytest.approx(0.25, rel=0.02)
    assert value.mean() == pytest.approx(unit(size)[0] / 2, abs=0.004)
    assert metrics is not None
    assert "aggregate_train: Received 2 results and 1 failures" in caplog.text
    assert any(
        "returning parameters (2) differs from the number of sampled clients (4)" in text
        for text in warnings_in(caplog.records)
    )


def test_an_update_of_zero_is_no_division_by_zero() -> None:
    arrays, _ = round_of(server_side(), model_of([[1.0, 2.0]]), answers([[[1.0, 2.0]]] * 2))
    np.testing.assert_array_equal(values_of(arrays)[0], [1.0, 2.0])


def test_0d_arrays_do_not_escape_clipping() -> None:
    arrays, _ = round_of(server_side(bound=0.1), model_of([0.0]), answers([[6.0], [6.0]]))
    [value] = values_of(arrays)
    assert value.shape == ()
    np.testing.assert_allclose(value, 0.1, rtol=1e-12)


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_arrays_that_hold_no_floats_keep_what_was_sent(noise: float) -> None:
    sent = named(w=np.zeros(3, np.float32), batches=7, mask=[True, False], name="abc")
    back = named(w=np.ones(3, np.float32), batches=99, mask=[False, False], name="xyz")
    arrays, _ = round_of(server_side(noise), sent, answers([back, back]))
    assert arrays is not None
    assert arrays["batches"].numpy() == 7
    np.testing.assert_array_equal(arrays["mask"].numpy(), [True, False])
    assert arrays["name"].numpy() == "abc"
    assert arrays["w"].numpy().dtype == np.float32


@pytest.mark.parametrize("kind", [server_side, client_side])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_update_that_is_not_finite_counts_as_none(
    kind: Any, bad: float, caplog: pytest.LogCaptureFixture
) -> None:
    replies = answers([[[bad, 1.0]], [[0.5, 0.0]]])
    with caplog.at_level(logging.WARNING, "flwr"):
        arrays, _ = round_of(kind(), model_of([[0.0, 0.0]]), replies)
    np.testing.assert_allclose(values_of(arrays)[0], [0.25, 0.0])
    assert "not finite count as none: node 1" in caplog.text


def test_nothing_but_updates_that_are_not_finite_is_an_update_of_zero() -> None:
    replies = answers([[[np.nan]], [[np.nan]]])
    arrays, _ = round_of(server_side(1e-12), model_of([[3.0]]), replies)
    np.testing.assert_allclose(values_of(arrays)[0], [3.0])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, ml_dtypes.bfloat16, np.complex64, ">f4"])
def test_dtypes_are_kept_and_updates_measured_in_float64(dtype: Any) -> None:
    sent = named(a=np.zeros((2, 3), dtype))
    back = named(a=np.asfortranarray(np.full((2, 3), 2, dtype)))
    arrays, _ = round_of(server_side(bound=0.5), sent, answers([back, back]))
    assert arrays is not None
    value = arrays["a"].numpy()
    assert value.dtype == np.dtype(dtype)
    expected = np.full((2, 3), 0.5 / np.sqrt(6))
    np.testing.assert_allclose(value.astype(np.complex128).real, expected, rtol=5e-3)


def test_nodes_may_answer_in_another_precision_than_the_model_was_sent_in() -> None:
    sent = named(a=np.array([1.0]))
    back = named(a=np.array([1.5], np.float32))
    arrays, _ = round_of(server_side(), sent, answers([back, back]))
    assert arrays is not None
    assert arrays["a"].numpy() == np.float32(1.5)


def test_arrays_are_paired_by_name() -> None:
    sent = named(a=[0.0], b=[10.0])
    replies = answers([named(b=[10.0], a=[0.5]), named(a=[0.5], b=[10.0])])
    arrays, _ = round_of(server_side(), sent, replies)
    assert arrays is not None
    assert {name: array.numpy().tolist() for name, array in arrays.items()} == {
        "a": [0.5],
        "b": [10.0],
    }


@pytest.mark.parametrize(
    ("back", "message"),
    [
        (named(b=[0.0]), "node 1 does not fit the model that it was sent: it has no array 'b'"),
        (named(a=[0.0], b=[0.0]), "it has no array 'b'"),
        (named(a=[0.0, 0.0]), r"array 'a' has shape \(1,\), not \(2,\)"),
        (named(a=[0]), "array 'a' is of dtype int64, not float64"),
    ],
)
def test_replies_that_do_not_fit_the_model_are_refused(back: ArrayRecord, message: str) -> None:
    with pytest.raises(InconsistentMessageReplies, match=message):
        round_of(server_side(), named(a=[0.0]), answers([back, back]))


def test_replies_that_do_not_fit_each_other_are_refused() -> None:
    replies = answers([named(a=[0.0]), named(a=[0.0, 0.0])])
    with pytest.raises(InconsistentMessageReplies, match="of node 2 has shape"):
        round_of(server_side(), named(a=[0.0]), replies)


def test_replies_are_not_changed() -> None:
    replies = answers([[[5.0, 0.0]], [[0.0, 5.0]]])
    before = [reply.content.copy() for reply in replies]
    round_of(server_side(1.0), model_of([[0.0, 0.0]]), replies)
    assert [reply.content for reply in replies] == before


@pytest.mark.parametrize("count", [1, 31, 32, 33, 64, 100])
def test_sums_of_many_updates_are_accurate(count: int) -> None:
    generator = np.random.default_rng(0)
    initial = generator.standard_normal(500, dtype=np.float32)
    updates = generator.standard_normal((count, 500)) / 100
    examples = list(range(1, count + 1))
    records = [named(a=np.float32(initial + update)) for update in updates]
    arrays, _ = round_of(
        server_side(bound=0.2, cohort=count), named(a=initial), answers(records, examples)
    )
    exact = np.array([np.float64(record["a"].numpy()) - initial for record in records])
    scales = np.minimum(1, 0.2 / np.linalg.norm(exact, axis=1))
    expected = initial + np.average(exact * scales[:, None], axis=0, weights=examples)
    np.testing.assert_allclose(values_of(arrays)[0], expected, rtol=2e-7, atol=2e-7)


def test_a_weight_beside_which_all_others_are_nothing() -> None:
    replies = answers([[[0.5]], [[0.25]], [[0.5]]], examples=[1, 1e300, 1])
    arrays, _ = round_of(server_side(cohort=3), model_of([[0.0]]), replies)
    np.testing.assert_array_equal(values_of(arrays)[0], [0.25])


def test_no_reply_releases_nothing() -> None:
    assert round_of(server_side(1.0), model_of([[0.0]]), []) == (None, None)


def test_replies_without_weight_release_nothing() -> None:
    replies = answers([[[1.0]], [[1.0]]], examples=[0, 0])
    assert round_of(server_side(), model_of([[0.0]]), replies) == (None, None)


def test_aggregating_before_a_model_was_sent_is_an_error() -> None:
    with pytest.raises(AggregationError, match="configure_train"):
        server_side().aggregate_train(1, answers([[[0.0]]]))


def test_updates_are_those_of_the_model_of_this_round() -> None:
    strategy = server_side(bound=0.5)
    for start in (0.0, 10.0):
        arrays, _ = round_of(strategy, model_of([[start]]), answers([[[start + 4]]] * 2))
        np.testing.assert_allclose(values_of(arrays)[0], [start + 0.5])


def test_the_servers_optimiser_steps_from_the_noised_mean(monkeypatch: Any) -> None:
    monkeypatch.setattr(os, "urandom", bytes)
    size = 100_000
    inner = FedAvgM(server_learning_rate=0.5, server_momentum=0.9)
    strategy = DifferentialPrivacyServerSideFixedClipping(inner, 2.0, 1.0, 2)
    arrays, _ = round_of(strategy, model_of([np.zeros(size)]), answers([[np.zeros(size)]] * 2))
    # all that the optimiser remembers is noised: its velocity is minus the released mean
    assert inner.momentum_vector is not None
    [velocity] = inner.momentum_vector
    assert velocity.std() == pytest.approx(1.0, rel=0.02)
    np.testing.assert_allclose(values_of(arrays)[0], -0.5 * velocity, rtol=1e-12)


def test_adaptive_optimisers_step_from_the_clipped_mean() -> None:
    inner = FedAdam(eta=0.1, tau=1e-3)
    strategy = DifferentialPrivacyServerSideFixedClipping(inner, 0.0, 0.5, 2)
    alone = FedAdam(eta=0.1, tau=1e-3)
    clipped, _ = round_of(strategy, model_of([[0.0]]), answers([[[9.0]]] * 2))
    expected, _ = round_of(alone, model_of([[0.0]]), answers([[[0.5]]] * 2))
    np.testing.assert_allclose(values_of(clipped)[0], values_of(expected)[0], rtol=1e-12)


def test_a_wrapped_strategy_keeps_its_own_mean_when_it_is_used_alone() -> None:
    inner = FedAvg()
    strategy = DifferentialPrivacyServerSideFixedClipping(inner, 0.0, 0.5, 2)
    round_of(strategy, model_of([[0.0]]), answers([[[9.0]]] * 2))
    arrays, _ = round_of(inner, model_of([[0.0]]), answers([[[9.0]]] * 2))
    np.testing.assert_array_equal(values_of(arrays)[0], [9.0])


@pytest.mark.parametrize("kind", [server_side, client_side])
def test_replies_stream_through(kind: Any) -> None:
    grid = AbleGrid([1, 2])
    kind(1.0).start(grid, model_of([[0.0]]), num_rounds=2)
    assert grid.streamed == 4


def test_replies_do_not_stream_past_a_function_of_the_users() -> None:
    seen: list[int] = []

    def metrics(contents: list[RecordDict], _key: str) -> MetricRecord:
        seen.append(len(contents))
        return MetricRecord({"n": len(contents)})

    grid = AbleGrid([1, 2])
    strategy = DifferentialPrivacyServerSideFixedClipping(
        FedAvg(train_metrics_aggr_fn=metrics), 0.0, 1.0, 2
    )
    result = strategy.start(grid, model_of([[0.0]]), num_rounds=1)
    assert result.train_metrics_clientapp == {1: {"n": 2}}
    assert seen == [2]
    assert grid.streamed == 1  # evaluation only


def test_the_bound_is_sent_where_nodes_clip() -> None:
    for kind, sent in ((client_side, {"clipping_norm": 2.0}), (server_side, {})):
        grid = FakeGrid([1, 2])
        kind(0.0, 2, 2).start(grid, model_of([[0.0]]), num_rounds=1)
        train, evaluate = (messages[0].content["config"] for messages in grid.sent)
        assert train == {**sent, "server-round": 1}
        assert evaluate == {"server-round": 1}


def test_changes_to_the_config_last_as_they_do_without_a_wrapper() -> None:
    class Decaying(FedAvg):
        def configure_train(self, server_round: int, arrays: Any, config: Any, grid: Any) -> Any:
            config["lr"] *= 0.5
            return super().configure_train(server_round, arrays, config, grid)

    grid = FakeGrid([1, 2])
    strategy = DifferentialPrivacyClientSideFixedClipping(Decaying(), 0.0, 1.0, 2)
    strategy.start(grid, model_of([[0.0]]), 2, train_config=ConfigRecord({"lr": 1.0}))
    assert grid.sent[2][0].content["config"]["lr"] == 0.25


def test_nodes_that_should_have_clipped_are_trusted_but_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "flwr"):
        arrays, _ = round_of(client_side(), model_of([[0.0]]), answers([[[8.0]], [[1.0]]]))
    np.testing.assert_array_equal(values_of(arrays)[0], [4.5])
    [warning] = warnings_in(caplog.records)
    assert warning.startswith("aggregate_train: 1 of 2 updates are longer than the clipping norm")
    assert warning.endswith("Node 1")


def test_reclip_clips_what_nodes_did_not(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "flwr"):
        arrays, _ = round_of(
            client_side(reclip=True), model_of([[0.0]]), answers([[[8.0]], [[1.0]]])
        )
    np.testing.assert_array_equal(values_of(arrays)[0], [1.0])
    assert not warnings_in(caplog.records)
    assert "aggregate_fit: parameters are clipped by value: 1.0000." in caplog.text


def trained_by_mod(message: Message) -> RecordDict:
    """What a node with the mod answers."""

    def train(message: Message, _: Context) -> Message:
        values = message.content["arrays"].to_numpy_ndarrays()
        return Message(
            content(ArrayRecord([np.asarray(value + np.float32(3)) for value in values])),
            reply_to=message,
        )

    if message.metadata.message_type == "evaluate":
        return content()
    context = Context(0, 1, {}, RecordDict(), {})
    return fixedclipping_mod(message, context, train).content


def test_the_mod_and_the_server_clip_alike() -> None:
    initial = ArrayRecord([np.zeros((3, 4), np.float32), np.zeros((), np.float32)])
    by_mod, by_both = (
        client_side(bound=0.7, reclip=reclip).start(FakeGrid([1, 2], trained_by_mod), initial, 2)
        for reclip in (False, True)
    )
    for mine, theirs in zip(values_of(by_mod.arrays), values_of(by_both.arrays), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6)
        np.testing.assert_allclose(mine, 2 * 0.7 / np.sqrt(13), rtol=1e-6)


def test_a_cohort_of_another_size_is_warned_of_before_training(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "flwr"):
        round_of(server_side(1.0, cohort=5), model_of([[0.0]]), answers([[[0.0]]] * 2))
    first, second = warnings_in(caplog.records)
    assert "configure_train: 2 nodes are asked, but num_sampled_clients is 5" in first
    assert "returning parameters (2)" in second


def test_the_summary_and_log_lines_are_the_documented_ones(
    caplog: pytest.LogCaptureFixture,
) -> None:
    strategy = server_side(0.5)
    assert repr(strategy) == "Differential Privacy Strategy Wrapper (Server-Side Fixed Clipping)"
    assert repr(client_side()) == (
        "Differential Privacy Strategy Wrapper (Client-Side Fixed Clipping)"
    )
    with caplog.at_level(logging.INFO, "flwr"):
        strategy.start(FakeGrid([1, 2]), model_of([[0.0]]), num_rounds=1)
    lines = caplog.messages
    assert lines[0] == "Starting DifferentialPrivacyServerSideFixedClipping strategy:"
    at = lines.index("\t├──> DP settings:")
    assert lines[at + 1 : at + 4] == [
        "\t│\t├── Noise multiplier: 0.5",
        "\t│\t└── Clipping norm: 1.0",
        "\t├──> Sampling:",
    ]
    at = lines.index("aggregate_train: Received 2 results and 0 failures")
    assert lines[at + 1 : at + 3] == [
        "aggregate_fit: parameters are clipped by value: 1.0000.",
        "aggregate_fit: central DP noise with 0.2500 stdev added",
    ]


@pytest.mark.parametrize("kind", [server_side, client_side])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1.0, 1.0, 2), "noise multiplier should be a non-negative"),
        ((float("nan"), 1.0, 2), "noise multiplier should be a non-negative"),
        ((1.0, 0.0, 2), "clipping norm should be a positive"),
        ((1.0, float("inf"), 2), "clipping norm should be a positive"),
        ((1.0, 1.0, 0), "number of sampled clients should be a positive"),
    ],
)
def test_settings_out_of_range_are_refused(kind: Any, arguments: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(*arguments)


def test_attributes_carry_the_arguments_names() -> None:
    inner = FedProx()
    strategy = DifferentialPrivacyServerSideFixedClipping(inner, 0.5, 2.0, 3)
    assert strategy.strategy is inner
    assert strategy.noise_multiplier == 0.5
    assert strategy.clipping_norm == 2.0
    assert strategy.num_sampled_clients == 3
    assert strategy.accountant is None
    assert strategy.privacy_spent() is None
