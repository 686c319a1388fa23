"""q-FedAvg: Li et al. 2020, Algorithm 2, from sums that need no reply twice."""

import logging
import tracemalloc
from typing import Any

import numpy as np
import pytest
from fake_grid import FakeGrid, content, replies
from optimised import VECTORS, configure, record

from flwr.app import Array, ArrayRecord, Message
from flwr.serverapp.exception import AggregationError, InconsistentMessageReplies
from flwr.serverapp.strategy import QFedAvg
from flwr.serverapp.strategy.qfedavg import FairMean
from flwr.serverapp.strategy.reducers import GROUP
from flwr.serverapp.strategy.replies import ReplyReader, Update

MODEL = [[1.0, -1.0], [0.5]]


def answers_of(*pairs: tuple[list[Any], float]) -> list[Message]:
    return replies(*(content(record(arrays), train_loss=loss) for arrays, loss in pairs))


def aggregate(strategy: QFedAvg, model: ArrayRecord, given: Any) -> list[np.ndarray]:
    configure(strategy, model)
    arrays, _ = strategy.aggregate_train(1, given)
    assert arrays is not None
    return arrays.to_numpy_ndarrays()


@pytest.mark.parametrize("vector", ["qfedavg-q0.0", "qfedavg-q0.5", "qfedavg-q1.0"])
@pytest.mark.parametrize("kind", [list, iter])
def test_vectors(vector: str, kind: Any) -> None:
    """With each client's own loss, where upstream's older class takes the server's for all."""
    case = VECTORS[vector]
    [each] = case["rounds"]
    given = replies(
        *(content(record(r["arrays"]), r["num_examples"], **r["metrics"]) for r in each["replies"])
    )
    arrays = aggregate(QFedAvg(**case["params"]), record(case["initial"]), kind(given))
    for array, expected in zip(arrays, each["expected"], strict=True):
        np.testing.assert_allclose(array, expected, rtol=case["rtol"])


def algorithm_2(w: Any, models: list[Any], losses: list[float], q: float, rate: float) -> Any:
    """The paper's lines, as they are written."""
    lipschitz = 1 / rate
    total, h = np.zeros_like(w), 0.0
    for model, loss in zip(models, losses, strict=True):
        power = loss + 1e-10
        dw = lipschitz * (w - model)
        total += power**q * dw
        h += q * power ** (q - 1) * np.square(dw).sum() + lipschitz * power**q
    return w - total / h


@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-10), (np.float32, 1e-5)])
@pytest.mark.parametrize("q", [0.0, 0.1, 2.0])
@pytest.mark.parametrize("kind", [list, iter])
def test_a_large_model_follows_algorithm_2(dtype: object, rtol: float, q: float, kind: Any) -> None:
    generator = np.random.default_rng(1)
    w, *models = generator.standard_normal((GROUP + 6, 70_000)).astype(np.dtype(dtype))
    losses = generator.uniform(0.1, 3.0, len(models)).tolist()
    given = replies(
        *(content(ArrayRecord([m]), train_loss=x) for m, x in zip(models, losses, strict=True))
    )
    [new] = aggregate(QFedAvg(0.1, q), ArrayRecord([w]), kind(given))
    exact = algorithm_2(
        w.astype(np.float64), [m.astype(np.float64) for m in models], losses, q, 0.1
    )
    np.testing.assert_allclose(new, exact, rtol=rtol, atol=rtol)
    assert new.dtype == np.dtype(dtype)


@pytest.mark.parametrize(
    ("dtype", "away"), [(np.float32, 3e19), (np.float32, 3e38), (">f4", 3e38), (np.float64, 1e150)]
)
def test_squares_beyond_what_a_dtype_holds_are_drift(dtype: object, away: float) -> None:
    """A drift that is lost leaves q-FedAvg with the plain mean: half way to a model far off."""
    sent, far = (ArrayRecord([np.full(5000, w, np.dtype(dtype))]) for w in (0.0, away))
    given = replies(*(content(arrays, train_loss=1.0) for arrays in (far, sent)))
    [new] = aggregate(QFedAvg(0.1, 1.0), sent, given)
    np.testing.assert_allclose(new, np.zeros(5000), atol=1e-20)


def test_a_drift_beyond_a_float_leaves_the_model() -> None:
    sent = record([[1.0, 2.0]])
    [new] = aggregate(QFedAvg(0.1, 1.0), sent, answers_of(([[1e200, -1e200]], 1.0)))
    assert new.tolist() == [1.0, 2.0]


def test_examples_do_not_count_but_a_node_without_any_is_left_out() -> None:
    given = [([[0.9, -1.2], [0.5]], 0.5), ([[1.1, -1.0], [0.3]], 2.0)]
    plain = aggregate(QFedAvg(0.1), record(MODEL), answers_of(*given))
    uneven = replies(
        *(
            content(record(arrays), weight, train_loss=loss)
            for (arrays, loss), weight in zip(
                [*given, ([[9.0, 9.0], [9.0]], np.nan)], [1, 1000, 0], strict=True
            )
        )
    )
    assert [a.tolist() for a in aggregate(QFedAvg(0.1), record(MODEL), uneven)] == [
        a.tolist() for a in plain
    ]


@pytest.mark.parametrize(("q", "warned"), [(0.0, 0), (0.1, 1), (1.0, 0), (2.0, 0)])
def test_a_loss_of_zero_that_freezes_the_model_is_warned_of_once(
    q: float, warned: int, caplog: pytest.LogCaptureFixture
) -> None:
    strategy = QFedAvg(0.1, q)
    for _ in range(2):
        given = answers_of(([[0.0, 0.0], [0.0]], 0.0), ([[0.5, -0.5], [0.0]], 1.0))
        new = aggregate(strategy, record(MODEL), given)
        moved = max(np.abs(a - np.array(b)).max() for a, b in zip(new, MODEL, strict=True))
        assert (moved < 1e-6) == (warned == 1)
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warnings) == warned
    assert all("QFedAvg: the loss of node 1 is 0. With q = 0.1" in text for text in warnings)


def test_counters_are_averaged_and_do_not_enter_the_norm() -> None:
    models = [{"w": np.full(2, w), "n": np.array([n])} for w, n in ((1.0, 0), (2.0, 5000))]
    given = [content(record(model), train_loss=1.0) for model in models]
    sent = record({"w": np.zeros(2), "n": np.array([0])})
    w, n = aggregate(QFedAvg(0.1, 1.0), sent, replies(*given))
    expected = algorithm_2(np.zeros(2), [m["w"] for m in models], [1.0, 1.0], 1.0, 0.1)
    np.testing.assert_allclose(w, expected)
    assert (n.dtype, n.tolist()) == (np.int64, [2500])


def test_the_model_and_each_reply_may_have_their_own_order_and_dtype() -> None:
    x, y = Array(np.array([0.0, 1.0])), Array(np.array([[5.0, 6.0], [7.0, 8.0]]))
    same = [
        ArrayRecord({"x": x, "y": y}),
        ArrayRecord({"y": y, "x": x}),
        ArrayRecord({"y": Array(np.asfortranarray(y.numpy())), "x": x}),
    ]
    results = []
    for sent in (ArrayRecord({"x": Array(np.zeros(2, np.float32)), "y": y}), None):
        model = sent or ArrayRecord({"y": y, "x": Array(np.zeros(2))})
        given = replies(*(content(record, train_loss=1.0) for record in same))
        configure(strategy := QFedAvg(0.1), model)
        arrays, _ = strategy.aggregate_train(1, given)
        assert arrays is not None
        results.append({name: array.numpy().tolist() for name, array in arrays.items()})
    assert results[0] == results[1]
    assert results[0]["y"] == y.numpy().tolist()


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({}, "Node 2 lacks 'loss'"),
        ({"loss": [1.0]}, r"Node 2 has \[1.0\] as 'loss'"),
        ({"loss": -1.0}, "Node 2 has -1.0 as 'loss'"),
        ({"loss": np.nan}, "Node 2 has nan as 'loss'"),
        ({"loss": np.inf}, "Node 2 has inf as 'loss'"),
    ],
)
def test_a_loss_that_is_none_is_refused(metrics: dict[str, Any], message: str) -> None:
    given = replies(content(record(MODEL), loss=1.0), content(record(MODEL), **metrics))
    strategy = QFedAvg(0.1, train_loss_key="loss")
    configure(strategy, record(MODEL))
    with pytest.raises(AggregationError, match=message):
        strategy.aggregate_train(1, given)


@pytest.mark.parametrize(("loss", "q"), [(1e300, 2.0), (0.0, 40.0), (1e-9, 0.5), (0.0, 0.0)])
def test_powers_that_no_float_holds_are_refused(loss: float, q: float) -> None:
    given = answers_of((MODEL, loss))
    strategy = QFedAvg(0.1, q)
    if q < 1:
        assert len(aggregate(strategy, record(MODEL), given)) == 2
        return
    configure(strategy, record(MODEL))
    with pytest.raises(AggregationError, match="of node 1 to the power of q"):
        strategy.aggregate_train(1, given)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ([[1.0], [0.5]], r"node 1.*'a0' has shape \(2,\), not \(1,\)"),
        ([[1.0, 1.0]], "node 1.*'a1' is missing"),
        ([[1.0, 1.0], [0.5], [1.0]], "node 1.*no array 'a2'"),
    ],
)
def test_replies_that_do_not_fit_the_model_are_refused(arrays: list[Any], message: str) -> None:
    strategy = QFedAvg(0.1)
    configure(strategy, record(MODEL))
    with pytest.raises(InconsistentMessageReplies, match=message):
        strategy.aggregate_train(1, answers_of((arrays, 1.0), (arrays, 1.0)))


def test_aggregating_before_configuring_is_an_error() -> None:
    with pytest.raises(AggregationError, match=r"QFedAvg.*`configure_train`"):
        QFedAvg(0.1).aggregate_train(1, answers_of((MODEL, 1.0)))


def test_a_value_that_is_not_finite_spoils_its_own_place_only() -> None:
    given = answers_of(([[np.nan, -1.2], [0.5]], 1.0), ([[1.0, -1.0], [np.inf]], 1.0))
    first, second = aggregate(QFedAvg(0.1), record(MODEL), given)
    assert np.isnan(first[0])
    assert np.isfinite(first[1])
    assert np.isinf(second[0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"client_learning_rate": 0.0}, "client_learning_rate must be above 0"),
        ({"client_learning_rate": -0.1}, "client_learning_rate must be 0 or more"),
        ({"client_learning_rate": 0.1, "q": -1.0}, "q must be 0 or more"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        QFedAvg(**settings)


def test_the_summary_begins_with_the_settings(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    QFedAvg(0.1).summary()
    assert [r.getMessage() for r in caplog.records][:5] == [
        "\t├──> q-FedAvg settings:",
        "\t│\t├── client_learning_rate: 0.1",
        "\t│\t├── q: 0.1",
        "\t│\t└── train_loss_key: 'train_loss'",
        "\t├──> Sampling:",
    ]


def test_partial_sums_merge() -> None:
    generator = np.random.default_rng(3)
    models = generator.standard_normal((8, 100))
    given = replies(*(content(ArrayRecord([m]), train_loss=n + 0.5) for n, m in enumerate(models)))
    updates = list(ReplyReader("test", "num-examples", with_arrays=True).read(given))

    def reducer(some: list[Update]) -> FairMean:
        made = FairMean(
            "test",
            ArrayRecord([np.zeros(100)]),
            0.5,
            0.1,
            lambda u: u.metrics["train_loss"],
        )
        for update in some:
            made.add(update)
        return made

    whole = reducer(updates).finish()
    first, second = reducer(updates[:5]), reducer(updates[5:])
    first.merge(second)
    merged = first.finish()
    assert whole is not None
    assert merged is not None
    np.testing.assert_allclose(merged["0"].numpy(), whole["0"].numpy(), rtol=1e-12)
    assert (first.finish(), second.finish()) == (None, None)


def test_a_round_needs_no_model_beyond_the_sum() -> None:
    size = 1 << 20
    strategy = QFedAvg(0.1)
    model = ArrayRecord([np.zeros(size, np.float32)])
    given = replies(*[content(ArrayRecord([np.ones(size, np.float32)]), train_loss=1.0)] * 3)
    configure(strategy, model)
    tracemalloc.start()
    arrays, _ = strategy.aggregate_train(1, given)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert arrays is not None
    assert peak / model.count_bytes() < 1.3


def test_rounds_of_start() -> None:
    def answer(message: Message) -> Any:
        training = message.metadata.message_type == "train"
        return content(message.content["arrays"] if training else None, train_loss=1.0)

    result = QFedAvg(0.1).start(FakeGrid({1, 2}, answer), record(MODEL), num_rounds=2)
    assert result.arrays == record(MODEL)
    assert list(result.train_metrics_clientapp) == [1, 2]
