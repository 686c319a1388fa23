"""FedAvgM, FedAdagrad, FedAdam, FedYogi: the papers' formulas, dtypes, memory and state."""

import logging
import tracemalloc
from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from fake_grid import FakeGrid, content, replies
from optimised import ADAPTIVE, VECTORS, configure, make, random_model, record, step

from flwr.app import Array, ArrayRecord, ConfigRecord, Error
from flwr.serverapp.exception import AggregationError, InconsistentMessageReplies
from flwr.serverapp.strategy import FedAdagrad, FedAdam, FedAvg, FedAvgM, FedProx, FedYogi
from flwr.serverapp.strategy.fedopt import FedOpt

STEPPING = [FedAvgM, *ADAPTIVE]
all_steps = pytest.mark.parametrize("cls", STEPPING)
adaptive_steps = pytest.mark.parametrize("cls", ADAPTIVE)


# --- the papers' numbers -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vector", "cls", "values", "settings"),
    [
        # Hsu et al. 2019, section 4.3
        ("fedavgm-3-rounds", FedAvgM, "expected", {}),
        # Reddi et al. 2021, Algorithm 2: with v_0 = 0, and as the paper has it, tau^2
        ("fedadagrad-3-rounds", FedAdagrad, "expected", {}),
        ("fedadagrad-3-rounds", FedAdagrad, "alternative_paper_v0_tau2", {"v_init": 1e-6}),
        ("fedyogi-3-rounds", FedYogi, "expected", {}),
        ("fedyogi-3-rounds", FedYogi, "alternative_paper_v0_tau2", {"v_init": 1e-6}),
        ("fedadam-3-rounds", FedAdam, "expected", {}),
        (
            "fedadam-3-rounds",
            FedAdam,
            "alternative_paper",
            {"bias_correction": "none", "v_init": 1e-6},
        ),
        # Kingma and Ba 2015, end of section 2
        ("fedadam-3-rounds", FedAdam, "alternative_adam_textbook", {"bias_correction": "adam"}),
    ],
)
def test_vectors(vector: str, cls: type[FedAvg], values: str, settings: dict[str, Any]) -> None:
    case = VECTORS[vector]
    strategy = cls(**case["params"], **settings)
    for each in case["rounds"]:
        configure(strategy, record(each["current"]), each["server_round"])
        answers = [content(record(r["arrays"]), r["num_examples"]) for r in each["replies"]]
        arrays, _ = strategy.aggregate_train(each["server_round"], replies(*answers))
        assert arrays is not None
        for array, expected in zip(arrays.to_numpy_ndarrays(), each[values], strict=True):
            np.testing.assert_allclose(array, expected, rtol=case["rtol"], atol=1e-15)


def formula(cls: type[FedAvg], w: Any, mean: Any, state: dict[str, Any], t: int) -> Any:
    """Hsu et al. section 4.3, and Reddi et al. Algorithm 2, with the strategies' defaults."""
    delta = mean - w
    if cls is FedAvgM:
        state["v"] = 0.9 * state.get("v", 0.0) - delta
        return w - 0.5 * state["v"]
    beta_1, beta_2, eta = {FedAdagrad: (0, 0, 0.1), FedYogi: (0.9, 0.99, 0.01)}.get(
        cls, (0.9, 0.99, 0.1)
    )
    state["m"] = beta_1 * state.get("m", 0.0) + (1 - beta_1) * delta
    v = state.get("v", np.zeros_like(delta))
    if cls is FedAdagrad:
        state["v"] = v + delta**2
    elif cls is FedAdam:
        state["v"] = beta_2 * v + (1 - beta_2) * delta**2
        eta *= np.sqrt(1 - beta_2 ** (t + 1)) / (1 - beta_1 ** (t + 1))
    else:
        state["v"] = v - (1 - beta_2) * delta**2 * np.sign(v - delta**2)
    return w + eta * state["m"] / (np.sqrt(state["v"]) + 1e-3)


@all_steps
@pytest.mark.parametrize(("dtype", "rtol"), [(np.float64, 1e-12), (np.float32, 2e-5)])
def test_many_rounds_of_a_large_model_follow_the_formula(
    cls: type[FedAvg], dtype: object, rtol: float
) -> None:
    strategy, model = make(cls), random_model(0, dtype=dtype)
    current: dict[str, Any] = {n: a.numpy().astype(np.float64) for n, a in model.items()}
    states: dict[str, dict[str, Any]] = {name: {} for name in current}
    for t in range(1, 6):
        answers = [random_model(10 * t + k, dtype=dtype) for k in (0, 1)]
        new = step(strategy, model, *answers, server_round=t)
        for name, w in current.items():
            mean = sum(a[name].numpy().astype(np.float64) for a in answers) / 2
            current[name] = formula(cls, w, mean, states[name], t)
            np.testing.assert_allclose(new[name], current[name], rtol=rtol, atol=rtol)
            assert new[name].dtype == model[name].numpy().dtype
        model = record(new)


def test_fedavgm_with_its_defaults_is_fedavg_bit_for_bit() -> None:
    answers = [random_model(k) for k in (1, 2, 3)]
    new, mean = (step(cls(), random_model(0), *answers) for cls in (FedAvgM, FedAvg))
    assert all(np.array_equal(new[name], mean[name]) for name in mean)


def test_fedopt_by_itself_averages() -> None:
    new = step(FedOpt(beta_1=0.9), record([[1.0]]), record([[2.0]]), record([[4.0]]))
    assert new["a0"].tolist() == [3.0]


@adaptive_steps
@pytest.mark.parametrize("tau", [0.0, 1e-9])
def test_what_does_not_move_stays_put_however_small_tau(cls: type[FedAvg], tau: float) -> None:
    new = step(cls(tau=tau), record([[1.0, 2.0]]), record([[1.0, 5.0]]))
    assert new["a0"][0] == 1.0
    assert 2.0 < new["a0"][1] < 5.0


# --- kinds of arrays ---------------------------------------------------------------------------


@all_steps
def test_counters_and_flags_are_averaged_and_have_no_moments(cls: type[FedAvg]) -> None:
    """A step of Adam on BatchNorm's num_batches_tracked means nothing."""
    strategy = make(cls)
    model = {"w": np.ones(3), "steps": np.array([7, 0]), "mask": np.array([True, False])}
    answer = {"w": np.full(3, 2.0), "steps": np.array([100, 3]), "mask": np.array([False, False])}
    for _ in range(2):
        new = step(strategy, record(model), record(answer), record(answer))
        assert new["steps"].tolist() == [100, 3]
        assert new["mask"].tolist() == [False, False]
        assert {name: array.dtype for name, array in new.items()} == {
            name: array.dtype for name, array in model.items()
        }
        assert (new["w"] != 2.0).all()
    if cls is FedAvgM:
        assert [a.any() for a in strategy.momentum_vector] == [True, False, False]
    else:
        assert strategy.m_t.keys() == strategy.v_t.keys() == {"w"}


@all_steps
@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e5m2, ">f4"])
def test_narrow_floats_step_in_float32(cls: type[FedAvg], dtype: object) -> None:
    values, trained = np.arange(1, 9) / 4, np.arange(1, 9) / 2
    strategy = make(cls)
    new = step(strategy, record([values], dtype), record([trained], dtype))["a0"]
    exact = step(make(cls), record([values], np.float32), record([trained], np.float32))["a0"]
    assert new.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(new, exact.astype(np.dtype(dtype)))
    moments = (
        strategy.momentum_vector if cls is FedAvgM else [strategy.m_t["a0"], strategy.v_t["a0"]]
    )
    assert [moment.dtype for moment in moments] == [np.float32] * len(moments)


@all_steps
def test_a_complex_number_steps_as_a_pair_of_floats(cls: type[FedAvg]) -> None:
    strategy = make(cls, v_init=0.25) if cls is not FedAvgM else make(cls)
    pairs = make(cls, v_init=0.25) if cls is not FedAvgM else make(cls)
    values, trained = np.array([1 + 2j, 3 - 4j]), np.array([2 + 2j, 0 - 6j])
    new = step(strategy, record([values], np.complex64), record([trained], np.complex64))["a0"]
    split = (record([v.view(np.float64)], np.float32) for v in (values, trained))
    assert new.dtype == np.complex64
    assert new.view(np.float32).tolist() == step(pairs, *split)["a0"].tolist()


@all_steps
@pytest.mark.parametrize("order", ["C", "F"])
def test_shapes_memory_order_and_names_are_matched(cls: type[FedAvg], order: Any) -> None:
    w = np.arange(6, dtype=np.float32).reshape(2, 3)
    model = {"w": w, "scalar": np.array(2.0), "empty": np.zeros((0, 2), np.float32)}
    answer = {name: np.asarray(array * 2) for name, array in model.items()}
    moved = {name: np.asarray(answer[name], order="F") for name in reversed(answer)}
    sent = {name: np.asarray(array, order=order) for name, array in model.items()}
    strategy, plain = make(cls), make(cls)
    for given in (moved, answer, moved):  # moments are matched with them too
        new = step(strategy, record(sent), record(given))
        expected = step(plain, record(model), record(answer))
        for name, array in expected.items():
            assert (new[name].tolist(), new[name].shape) == (array.tolist(), model[name].shape)


@all_steps
def test_a_model_of_another_dtype_than_the_replies_is_taken_in_theirs(cls: type[FedAvg]) -> None:
    new = step(make(cls), record([[1.0, 2.0]], np.float64), record([[2.0, 2.0]], np.float32))
    assert new["a0"].dtype == np.float32
    same = step(make(cls), record([[1.0, 2.0]], np.float32), record([[2.0, 2.0]], np.float32))
    assert new["a0"].tolist() == same["a0"].tolist()


@all_steps
def test_infinite_values_give_no_numpy_warnings(cls: type[FedAvg]) -> None:
    step(make(cls), record([[1.0, 2.0]], np.float16), record([[np.inf, 6e4]], np.float16))


# --- the model that steps start from -----------------------------------------------------------


@all_steps
def test_the_current_model_is_that_of_each_configure_train(cls: type[FedAvg]) -> None:
    """Upstream's FedAvgM goes on from its own result, whatever noise was added to the model."""
    strategy = make(cls)
    step(strategy, record([[1.0]]), record([[2.0]]))
    edited = record([[50.0]])
    new = step(strategy, edited, record([[50.0]]), server_round=2)
    state: dict[str, Any] = {}
    formula(cls, np.array([1.0]), np.array([2.0]), state, 1)
    expected = formula(cls, np.array([50.0]), np.array([50.0]), state, 2)
    np.testing.assert_allclose(new["a0"], expected, rtol=1e-12)


@all_steps
def test_aggregating_before_configuring_is_an_error(cls: type[FedAvg]) -> None:
    given = replies(content(record([[1.0]])))
    with pytest.raises(AggregationError, match=f"{cls.__name__}.*`configure_train`"):
        make(cls).aggregate_train(1, given)


@all_steps
@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"w": np.ones(2), "b": np.ones(2)}, r"array 'b' has shape \(3,\), not \(2,\)"),
        ({"w": np.ones(2), "c": np.ones(3)}, "no array 'c'"),
        ({"w": np.ones(2)}, "'b' is missing"),
    ],
)
def test_replies_that_do_not_fit_the_model_are_refused_and_change_nothing(
    cls: type[FedAvg], arrays: dict[str, np.ndarray], message: str
) -> None:
    strategy = make(cls)
    model = record({"w": np.zeros(2), "b": np.zeros(3)})
    with pytest.raises(InconsistentMessageReplies, match=f"of node 1 .*{message}"):
        step(strategy, model, record(arrays), record(arrays))
    fitting = record({"w": np.ones(2), "b": np.ones(3)})
    assert {n: a.tolist() for n, a in step(strategy, model, fitting).items()} == {
        n: a.tolist() for n, a in step(make(cls), model, fitting).items()
    }


def test_a_model_that_cannot_be_read_is_named() -> None:
    model = ArrayRecord({"w": Array("float32", (1,), "torch.tensor", b"....")})
    with pytest.raises(AggregationError, match="global model holds an array that cannot be read"):
        step(FedAdam(), model, record({"w": np.ones(1)}))


@all_steps
def test_rounds_without_results_leave_the_moments(cls: type[FedAvg]) -> None:
    """Also the first one: upstream's FedAvgM then fails in round 2."""
    strategy, other = make(cls), make(cls)
    model, answer = record([[1.0, 2.0]]), record([[2.0, 1.0]])
    configure(strategy, model)
    assert strategy.aggregate_train(1, replies(Error(1, "x"))) == (None, None)
    first = step(strategy, model, answer)
    configure(strategy, model)
    assert strategy.aggregate_train(1, []) == (None, None)
    second = step(strategy, model, answer)
    assert first["a0"].tolist() == step(other, model, answer)["a0"].tolist()
    assert second["a0"].tolist() == step(other, model, answer)["a0"].tolist()


# --- attributes, settings, subclasses ----------------------------------------------------------


@adaptive_steps
def test_attributes_of_the_adaptive_ones(cls: type[FedOpt]) -> None:
    strategy = cls()
    assert (strategy.current_arrays, strategy.m_t, strategy.v_t) == (None, None, None)
    step(strategy, record([[1.0, 2.0]]), record([[2.0, 4.0]]))
    assert strategy.current_arrays is not None
    assert {n: a.tolist() for n, a in strategy.current_arrays.items()} == {"a0": [1.0, 2.0]}
    assert strategy.m_t is not None
    assert strategy.v_t is not None
    keep = 1 - strategy.beta_1
    np.testing.assert_allclose(strategy.m_t["a0"], [keep, 2 * keep])
    keep = 1 if cls is FedAdagrad else 1 - strategy.beta_2
    np.testing.assert_allclose(strategy.v_t["a0"], [keep, 4 * keep])


def test_attributes_of_fedavgm() -> None:
    strategy = make(FedAvgM)
    assert (strategy.current_arrays, strategy.momentum_vector) == (None, None)
    new = step(strategy, record([[1.0], [[2.0]]]), record([[2.0], [[5.0]]]))
    assert [v.tolist() for v in strategy.momentum_vector] == [[-1.0], [[-3.0]]]
    assert strategy.current_arrays == record(new)
    strategy.momentum_vector = [np.zeros(1), np.ones((1, 1))]
    new = step(strategy, record([[1.0], [[2.0]]]), record([[1.0], [[2.0]]]))
    assert [a.tolist() for a in new.values()] == [[1.0], [[2.0 - 0.5 * 0.9]]]
    strategy.momentum_vector = None
    assert strategy.momentum_vector is None


def test_without_momentum_no_velocity_is_kept() -> None:
    strategy = FedAvgM(server_learning_rate=0.5)
    assert step(strategy, record([[1.0]]), record([[2.0]]))["a0"].tolist() == [1.5]
    assert strategy.momentum_vector is None


@pytest.mark.parametrize("cls", [FedOpt, *ADAPTIVE])
@pytest.mark.parametrize(
    "settings",
    [{"eta": -1}, {"eta": np.inf}, {"tau": -1e-3}, {"tau": np.nan}, {"v_init": -1}],
    ids=str,
)
def test_settings_out_of_range_are_refused(cls: type[FedAvg], settings: dict[str, float]) -> None:
    [name] = settings
    with pytest.raises(ValueError, match=f"{name} must be 0 or more and finite"):
        cls(**settings)


@pytest.mark.parametrize("cls", [FedOpt, FedAdam, FedYogi])
@pytest.mark.parametrize("name", ["beta_1", "beta_2"])
@pytest.mark.parametrize("value", [-0.1, 1.0])
def test_betas_out_of_range_are_refused(cls: type[FedAvg], name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be 0 or more and below 1"):
        cls(**{name: value})


def test_a_bias_correction_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match=r"one of 'flwr', 'adam', 'none', not 'Adam'"):
        FedAdam(bias_correction="Adam")  # type: ignore[arg-type]


@pytest.mark.parametrize("momentum", [-0.9, 1.0])
def test_a_momentum_out_of_range_is_refused(momentum: float) -> None:
    """Upstream switches its optimiser on for a negative one, and applies none."""
    with pytest.raises(ValueError, match="server_momentum must be 0 or more and below 1"):
        FedAvgM(server_momentum=momentum)


def test_settings_may_change_between_rounds() -> None:
    strategy = FedAdagrad(tau=0.0)
    assert step(strategy, record([[0.0]]), record([[1.0]]))["a0"] == pytest.approx([0.1])
    strategy.eta, strategy.v_t = 0.5, None
    assert step(strategy, record([[0.0]]), record([[1.0]]))["a0"] == pytest.approx([0.5])
    momentum = FedAvgM()
    momentum.server_learning_rate = 0.5
    assert momentum.server_opt
    assert step(momentum, record([[0.0]]), record([[1.0]]))["a0"] == pytest.approx([0.5])


def test_a_subclass_may_replace_the_current_model() -> None:
    class Anchored(FedAdam):
        def aggregate_train(self, server_round, replies):  # type: ignore[no-untyped-def]
            self.current_arrays = {"a0": np.array([10.0])}
            return super().aggregate_train(server_round, replies)

    new = step(Anchored(bias_correction="none"), record([[0.0]]), record([[10.0]]))
    assert new["a0"].tolist() == [10.0]


def test_a_subclass_may_see_the_model_before_and_after() -> None:
    moved: list[float] = []

    class Measured(FedYogi):
        def aggregate_train(self, server_round, replies):  # type: ignore[no-untyped-def]
            arrays, metrics = super().aggregate_train(server_round, list(replies))
            before, after = self.current_arrays["a0"], arrays["a0"].numpy()
            moved.append(float((after - before)[0]))
            return arrays, metrics

    strategy = Measured()
    new = step(strategy, record([[1.0]]), record([[2.0]]))
    assert moved == [new["a0"][0] - 1.0]


def test_a_step_may_be_put_on_another_rule_of_reducing() -> None:
    class LastReply(FedProx):
        def _array_reducer(self, phase: str, together: int) -> Any:
            return Last()

    class Last:
        def start(self) -> None: ...

        def add(self, update: Any) -> None:
            self.arrays = update.arrays

        def finish(self) -> ArrayRecord:
            return ArrayRecord(self.arrays.to_numpy_ndarrays())

    class Both(FedAdagrad, LastReply): ...

    model, answers = ArrayRecord([np.zeros(1)]), [ArrayRecord([np.full(1, n)]) for n in (7.0, 1.0)]
    assert step(Both(tau=0.0), model, *answers)["0"] == pytest.approx([0.1])


@pytest.mark.parametrize(
    ("strategy", "lines"),
    [
        (
            lambda: FedAvgM(server_momentum=0.9),
            [
                "\t├──> FedAvgM settings:",
                "\t│\t├── Server optimization: ON",
                "\t│\t├── Server learning rate: 1.0",
                "\t│\t└── Server Momentum: 0.9",
            ],
        ),
        (
            lambda: FedAdam(eta=1 / 3),
            [
                "\t├──> FedOpt settings:",
                "\t│\t├── eta (0.333333) | eta_l (0.1)",
                "\t│\t├── beta_1 (0.9) | beta_2 (0.99)",
                "\t│\t└── tau (0.001)",
            ],
        ),
    ],
)
def test_the_summary_begins_with_the_settings(
    strategy: Callable[[], FedAvg], lines: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    made = strategy()
    caplog.set_level(logging.INFO)
    made.summary()
    found = [r.getMessage() for r in caplog.records]
    assert found[:5] == [*lines, "\t├──> Sampling:"]


# --- state and memory --------------------------------------------------------------------------


@all_steps
def test_the_state_gives_the_same_bits_and_is_not_changed(cls: type[FedAvg]) -> None:
    strategy, model = make(cls), random_model(0)
    step(strategy, model, random_model(1), random_model(2))
    state = strategy.state_dict()
    copies = [
        {name: array.copy() for name, array in moment.items()}
        for moment in state.values()
        if moment
    ]
    assert copies
    further = [step(strategy, model, random_model(n), server_round=n) for n in (3, 4)]
    for _ in range(2):  # a state can be taken up more than once
        other = make(cls)
        other.load_state_dict(state)
        again = [step(other, model, random_model(n), server_round=n) for n in (3, 4)]
        for new, expected in zip(again, further, strict=True):
            assert all(np.array_equal(new[name], expected[name]) for name in expected)
    kept = [moment for moment in state.values() if moment]
    for moment, copy in zip(kept, copies, strict=True):
        assert all(np.array_equal(moment[name], copy[name]) for name in copy)
    fresh = make(cls)
    fresh.load_state_dict(make(cls).state_dict())
    assert step(fresh, model, random_model(1)).keys() == further[0].keys()


def test_moments_of_another_model_are_refused() -> None:
    strategy = FedAdam()
    step(strategy, record([[1.0, 2.0]]), record([[2.0, 2.0]]))
    other = record([[1.0, 2.0, 3.0]])
    with pytest.raises(AggregationError, match=r"moment of array 'a0' has shape \(2,\)"):
        step(strategy, other, other)


@pytest.mark.parametrize(("cls", "moments"), [(FedAvgM, 1), (FedAdam, 2), (FedYogi, 2)])
def test_a_round_needs_no_model_beyond_the_sum_and_the_moments(
    cls: type[FedAvg], moments: int
) -> None:
    size = 1 << 20
    strategy = make(cls)
    model = ArrayRecord([np.zeros(size, np.float32)])
    given = replies(*[content(ArrayRecord([np.ones(size, np.float32)]))] * 3)
    for first in (True, False):
        configure(strategy, model)
        tracemalloc.start()
        arrays, _ = strategy.aggregate_train(1, given)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert arrays is not None
        assert peak / model.count_bytes() < 1 + (moments if first else 0) + 0.2


@all_steps
def test_rounds_of_start_step_and_change_no_config(cls: type[FedAvg]) -> None:
    config = ConfigRecord({"lr": 0.5})
    result = make(cls).start(
        FakeGrid({1, 2}), record([[1.0, 2.0]]), num_rounds=3, train_config=config
    )
    assert result.arrays == record([[1.0, 2.0]])
    assert config == {"lr": 0.5}
