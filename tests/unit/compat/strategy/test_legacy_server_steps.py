"""FedAvgM, the FedOpt family and QFedAvg: their state, and where their steps start from."""

from typing import Any

import numpy as np
import pytest
from legacy_rounds import (
    arrays_of,
    by_clients,
    configured,
    fit_res,
    manager_of,
    model_of,
    round_of,
    saved,
    trained,
    values_of,
)

from flwr.compat.typing import Parameters
from flwr.server.strategy import FedAdagrad, FedAdam, FedAvgM, FedOpt, FedYogi, QFedAvg
from flwr.serverapp.exception import AggregationError

START = model_of([1.0, 2.0], [3])
TRAINED = trained([[2.0, 4.0], [5]])
ADAPTIVE: list[type[FedOpt]] = [FedAdagrad, FedAdam, FedYogi]


def momentum(**settings: Any) -> FedAvgM:
    given = {"server_learning_rate": 0.5, "server_momentum": 0.9, **settings}
    return FedAvgM(**given)


# --- FedAvgM ---------------------------------------------------------------------------------


def test_with_its_defaults_fedavgm_averages() -> None:
    strategy = FedAvgM()
    assert not strategy.server_opt
    parameters, _ = strategy.aggregate_fit(1, TRAINED, [])
    assert values_of(parameters) == [[2.0, 4.0], [5]]
    assert strategy.momentum_vector is None


def test_momentum_needs_a_model() -> None:
    with pytest.raises(AssertionError, match="model needs to be initialized"):
        momentum().aggregate_fit(1, TRAINED, [])
    strategy = momentum(initial_parameters=START)
    parameters, _ = strategy.aggregate_fit(1, TRAINED, [])  # upstream needs no configure_fit
    assert values_of(parameters) == [[1.5, 3.0], [5]]


def test_fedavgm_keeps_its_model() -> None:
    strategy = momentum(initial_parameters=START)
    for _ in range(2):
        assert strategy.initialize_parameters(manager_of(0)) is START
    parameters, _ = strategy.aggregate_fit(1, TRAINED, [])
    assert strategy.initial_parameters is parameters
    assert strategy.momentum_vector is not None
    assert [v.tolist() for v in strategy.momentum_vector] == [[-1.0, -2.0], [0.0]]


def test_without_momentum_there_is_no_vector() -> None:
    strategy = momentum(server_momentum=0.0, initial_parameters=START)
    parameters, _ = strategy.aggregate_fit(1, TRAINED, [])
    assert values_of(parameters)[0] == [1.5, 3.0]
    assert strategy.momentum_vector is None


def test_a_first_round_without_results_does_no_harm() -> None:
    """Upstream raises in round 2."""
    strategy = momentum(initial_parameters=START)
    assert strategy.aggregate_fit(1, [], []) == (None, {})
    parameters, _ = round_of(strategy, START, TRAINED, 2)
    assert values_of(parameters)[0] == [1.5, 3.0]


def test_a_vector_of_ones_own_is_taken_up() -> None:
    strategy = momentum(initial_parameters=START)
    strategy.momentum_vector = [np.array([1.0, 0.0]), np.array([0])]
    parameters, _ = strategy.aggregate_fit(1, TRAINED, [])
    assert values_of(parameters)[0] == pytest.approx([1.05, 3.0])


@pytest.mark.parametrize(
    "settings", [{"server_momentum": -0.1}, {"server_momentum": 1.0}, {"server_learning_rate": -1}]
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    """Upstream turns on the optimiser for a negative momentum, and applies none."""
    with pytest.raises(ValueError, match=next(iter(settings))):
        momentum(**settings)


# --- FedOpt ----------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", [FedOpt, *ADAPTIVE])
def test_adaptive_strategies_need_initial_parameters(cls: type[FedOpt]) -> None:
    with pytest.raises(TypeError, match="initial_parameters"):
        cls()
    strategy = cls(initial_parameters=START)
    assert strategy.current_weights is not None
    assert [array.tolist() for array in strategy.current_weights] == [[1.0, 2.0], [3]]
    assert strategy.m_t is strategy.v_t is None


def test_defaults_are_upstreams() -> None:
    shown = {
        cls: (s.eta, s.eta_l, s.beta_1, s.beta_2, s.tau)
        for cls in (FedOpt, *ADAPTIVE)
        for s in [cls(initial_parameters=START)]
    }
    assert shown == {
        FedOpt: (0.1, 0.1, 0.0, 0.0, 1e-9),
        FedAdagrad: (0.1, 0.1, 0.0, 0.0, 1e-9),
        FedAdam: (0.1, 0.1, 0.9, 0.99, 1e-9),
        FedYogi: (0.01, 0.0316, 0.9, 0.99, 1e-3),
    }


def test_fedopt_itself_averages() -> None:
    parameters, _ = FedOpt(initial_parameters=START).aggregate_fit(1, TRAINED, [])
    assert values_of(parameters) == [[2.0, 4.0], [5]]


@pytest.mark.parametrize("cls", ADAPTIVE)
def test_steps_start_from_the_model_that_was_sent(cls: type[FedOpt]) -> None:
    """Upstream steps from its own copy, whatever became of the model since."""
    strategy = cls(initial_parameters=START, tau=0.01)
    moved = model_of([10.0, 20.0], [3])
    parameters, _ = round_of(strategy, moved, trained([[11.0, 21.0], [3]]))
    assert 10.0 < arrays_of(parameters)[0][0] < 11.2
    assert strategy.current_weights is not None
    assert [a.tolist() for a in strategy.current_weights] == values_of(parameters)


@pytest.mark.parametrize("cls", ADAPTIVE)
def test_without_configure_fit_steps_start_from_the_last_model(cls: type[FedOpt]) -> None:
    """A server of one's own may never call it."""
    made = []
    for sends in (True, False):
        strategy = cls(initial_parameters=START, tau=0.01)
        model: Parameters | None = START
        for server_round in (1, 2):
            if sends:
                assert model is not None
                configured(strategy, model, 2, server_round)
            model, _ = strategy.aggregate_fit(server_round, TRAINED, [])
        made.append(values_of(model))
    assert made[0] == made[1]


def test_current_weights_may_be_changed_in_place() -> None:
    strategy = FedAdagrad(initial_parameters=START, tau=1.0)
    assert strategy.current_weights is not None
    strategy.current_weights[0] += 1
    parameters, _ = strategy.aggregate_fit(1, trained([[2.0, 3.0], [5]]), [])
    assert values_of(parameters) == [[2.0, 3.0], [5]]
    assert values_of(START)[0] == [1.0, 2.0]


@pytest.mark.parametrize("cls", ADAPTIVE)
def test_moments_are_lists_and_zero_where_nothing_steps(cls: type[FedOpt]) -> None:
    strategy = cls(initial_parameters=START)
    strategy.aggregate_fit(1, TRAINED, [])
    for moment in (strategy.m_t, strategy.v_t):
        assert moment is not None
        assert [array.shape for array in moment] == [(2,), (1,)]
        assert moment[0].all()
        assert not moment[1].any()
    strategy.aggregate_fit(2, [], [])
    assert strategy.m_t is not None


def test_moments_of_ones_own_are_taken_up() -> None:
    strategy = FedAdagrad(initial_parameters=START, tau=0.0)
    strategy.v_t = [np.array([3.0, 96.0]), np.array([0])]
    parameters, _ = strategy.aggregate_fit(1, TRAINED, [])
    assert values_of(parameters)[0] == pytest.approx([1.0 + 0.1 / 2, 2.0 + 0.2 / 10])


def test_with_a_tiny_tau_what_does_not_move_stays_put() -> None:
    for cls in ADAPTIVE:
        parameters, _ = cls(initial_parameters=START).aggregate_fit(
            1, trained([[1.0, 4.0], [3]]), []
        )
        assert values_of(parameters)[0][0] == 1.0


@pytest.mark.parametrize("cls", ADAPTIVE)
def test_the_dtype_of_the_model_is_kept(cls: type[FedOpt]) -> None:
    start = model_of([1.0, 2.0], dtype="float32")
    strategy = cls(initial_parameters=start)
    parameters, _ = strategy.aggregate_fit(1, trained(model_of([2.0, 3.0], dtype="float32")), [])
    assert arrays_of(parameters)[0].dtype == np.float32


def test_a_step_needs_a_model_to_start_from() -> None:
    strategy = FedAdam(initial_parameters=START)
    strategy.current_weights = None
    with pytest.raises(AggregationError, match="there is none yet"):
        strategy.aggregate_fit(1, TRAINED, [])


def test_results_that_do_not_fit_the_model_are_refused() -> None:
    with pytest.raises(AggregationError, match="do not fit the current global model"):
        FedAdam(initial_parameters=START).aggregate_fit(1, trained([[1.0]]), [])


@pytest.mark.parametrize("settings", [{"beta_1": 1.0}, {"eta": -0.1}, {"bias_correction": "x"}])
def test_settings_of_optimisers_are_checked(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        FedAdam(initial_parameters=START, **settings)
    if "eta" in settings:
        with pytest.raises(ValueError, match="eta"):
            FedOpt(initial_parameters=START, **settings)


# --- state -----------------------------------------------------------------------------------


def stateful() -> list[Any]:
    return [
        momentum,
        *(lambda cls=cls: cls(initial_parameters=START, tau=0.01) for cls in ADAPTIVE),
    ]


@pytest.mark.parametrize("make", stateful(), ids=["FedAvgM", "FedAdagrad", "FedAdam", "FedYogi"])
def test_a_strategy_goes_on_from_its_state(make: Any) -> None:
    def rounds(strategy: Any, model: Any, numbers: range) -> Any:
        for number in numbers:
            results = trained([[number * 1.5, 4.0], [5]], [[2.0, -number], [9]])
            model, _ = round_of(strategy, model, results, number)
        return model

    whole, first, second = make(), make(), make()
    half = rounds(first, START, range(1, 3))
    state = saved(first.state_dict())
    expected = rounds(whole, START, range(1, 5))
    rounds(first, half, range(3, 4))  # what is saved does not change behind the saver's back
    second.load_state_dict(state)
    assert values_of(rounds(second, half, range(3, 5))) == values_of(expected)


@pytest.mark.parametrize("make", stateful(), ids=["FedAvgM", "FedAdagrad", "FedAdam", "FedYogi"])
def test_the_state_before_the_first_step_is_that_of_a_new_strategy(make: Any) -> None:
    strategy, used = make(), make()
    round_of(used, START, TRAINED)
    used.load_state_dict(saved(strategy.state_dict()))
    assert values_of(round_of(used, START, TRAINED)[0]) == values_of(
        round_of(strategy, START, TRAINED)[0]
    )


# --- QFedAvg ---------------------------------------------------------------------------------

Q_START = model_of([1.0, -1.0], [0.5])
Q_MODELS = [[[0.9, -1.2], [0.5]], [[1.1, -1.05], [0.3]], [[0.7, -0.7], [0.4]]]


def test_the_servers_loss_stands_for_all_where_clients_report_none() -> None:
    """As upstream; the numbers are its own."""
    seen: list[Any] = []

    def evaluate(server_round: int, arrays: Any, config: Any) -> Any:
        seen.append((server_round, [array.tolist() for array in arrays], config))
        return 1.7, {}

    strategy = QFedAvg(q_param=1.0, qffl_learning_rate=0.1, evaluate_fn=evaluate)
    parameters, _ = round_of(strategy, Q_START, trained(*Q_MODELS), 3)
    expected = [[0.9364485981294786, -0.9894080996882464], [0.43644859812947856]]
    for array, wanted in zip(values_of(parameters), expected, strict=True):
        assert array == pytest.approx(wanted, rel=1e-9)
    assert seen == [(3, [[1.0, -1.0], [0.5]], {})]


def test_losses_of_some_clients_only_do_not_count() -> None:
    results = by_clients([fit_res(Q_MODELS[0], train_loss=9.0), fit_res(Q_MODELS[1])])
    strategy = QFedAvg(evaluate_fn=lambda *_: (1.7, {}))
    expected, _ = round_of(strategy, Q_START, trained(*Q_MODELS[:2]))
    assert values_of(round_of(strategy, Q_START, results)[0]) == values_of(expected)


def test_without_any_loss_there_is_a_clear_error() -> None:
    """Upstream raises a NameError."""
    with pytest.raises(ValueError, match=r"'train_loss' among their metrics, .* evaluate_fn"):
        round_of(QFedAvg(), Q_START, trained(*Q_MODELS))


@pytest.mark.parametrize("loss", [-1.0, float("nan"), "high"])
def test_a_loss_that_is_none_names_the_client(loss: Any) -> None:
    results = by_clients(
        [fit_res(Q_MODELS[0], train_loss=1.0), fit_res(Q_MODELS[1], train_loss=loss)]
    )
    with pytest.raises(ValueError, match="'train_loss' of client c2 is"):
        round_of(QFedAvg(), Q_START, results)


def test_the_model_that_was_sent_must_be_known() -> None:
    strategy = QFedAvg()
    assert repr(strategy) == "QffedAvg(learning_rate=0.1, q_param=0.2, pre_weights=None)"
    results = by_clients([fit_res(Q_MODELS[0], train_loss=1.0)])
    with pytest.raises(AttributeError, match="pre_weights is None"):
        strategy.aggregate_fit(1, results, [])
    configured(strategy, Q_START, 1)
    assert strategy.pre_weights is not None
    assert [array.tolist() for array in strategy.pre_weights] == [[1.0, -1.0], [0.5]]
    assert strategy.aggregate_fit(1, results, [])[0] is not None


def test_examples_do_not_count_for_fairness() -> None:
    made = [
        values_of(
            round_of(
                QFedAvg(),
                Q_START,
                by_clients(
                    fit_res(m, n, train_loss=1.0) for m, n in zip(Q_MODELS, counts, strict=True)
                ),
            )[0]
        )
        for counts in ([1, 1, 1], [7, 0, 2])
    ]
    assert made[0] == made[1]


@pytest.mark.parametrize("settings", [{"q_param": -0.1}, {"qffl_learning_rate": 0.0}])
def test_settings_of_qfedavg_are_checked(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        QFedAvg(**settings)


def test_one_client_is_enough_for_qfedavg() -> None:
    strategy = QFedAvg()
    assert strategy.num_fit_clients(1) == strategy.num_evaluation_clients(1) == (1, 1)
