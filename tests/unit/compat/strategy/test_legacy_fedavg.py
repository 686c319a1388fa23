"""What FedAvg and all that derive from it share."""

import random
from types import MappingProxyType
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from legacy_rounds import (
    OK,
    NamedClient,
    arrays_of,
    by_clients,
    client,
    configured,
    evaluated,
    fit_res,
    manager_of,
    model_of,
    trained,
    values_of,
    warnings_in,
)

from flwr.app import ArrayRecord
from flwr.compat import bridge
from flwr.compat.parameters import ndarray_to_bytes, ndarrays_to_parameters
from flwr.compat.typing import EvaluateRes, Parameters
from flwr.server.strategy import FaultTolerantFedAvg, FedAvg, FedMedian, FedProx, FedTrimmedAvg
from flwr.server.strategy.fedavg import WARNING_MIN_AVAILABLE_CLIENTS_TOO_LOW
from flwr.serverapp.exception import AggregationError, InconsistentMessageReplies

MODEL = model_of([1.0, 2.0])


def mean_of(*models: Any, examples: Any = ()) -> list[np.ndarray]:
    parameters, _ = FedAvg().aggregate_fit(1, trained(*models, examples=examples), [])
    return arrays_of(parameters)


# --- who is asked, and what ------------------------------------------------------------------


def test_defaults_and_attributes() -> None:
    assert vars(FedAvg()) == {
        "fraction_fit": 1.0,
        "fraction_evaluate": 1.0,
        "min_fit_clients": 2,
        "min_evaluate_clients": 2,
        "min_available_clients": 2,
        "evaluate_fn": None,
        "on_fit_config_fn": None,
        "on_evaluate_config_fn": None,
        "accept_failures": True,
        "initial_parameters": None,
        "fit_metrics_aggregation_fn": None,
        "evaluate_metrics_aggregation_fn": None,
        "inplace": True,
    }


@pytest.mark.parametrize("least", ["min_fit_clients", "min_evaluate_clients"])
def test_asking_for_more_clients_than_must_be_there_is_warned_of(
    least: str, caplog: pytest.LogCaptureFixture
) -> None:
    FedAvg(**{least: 3})
    assert warnings_in(caplog.records) == [WARNING_MIN_AVAILABLE_CLIENTS_TOO_LOW]
    caplog.clear()
    FedAvg(**{least: 3}, min_available_clients=3)
    assert warnings_in(caplog.records) == []


def test_all_sampled_clients_share_one_instruction() -> None:
    strategy = FedAvg(on_fit_config_fn=lambda server_round: {"lr": server_round / 10})
    pairs = configured(strategy, MODEL, 5, server_round=3)
    assert len(pairs) == 5
    assert len({id(ins) for _, ins in pairs}) == 1
    [(_, ins), *_] = pairs
    assert (ins.parameters, ins.config) == (MODEL, {"lr": 0.3})


def test_without_a_function_the_configuration_is_empty() -> None:
    [(_, ins), *_] = configured(FedAvg(), MODEL, 2)
    assert ins.config == {}
    [(_, evaluate_ins), *_] = FedAvg().configure_evaluate(1, MODEL, manager_of(2))
    assert evaluate_ins.config == {}


def test_a_configuration_function_may_return_nothing() -> None:
    [(_, ins), *_] = configured(
        FedAvg(on_fit_config_fn=lambda _: None), MODEL, 2
    )  # as sloppy apps do
    assert ins.config == {}


def test_a_configuration_may_be_any_mapping() -> None:
    strategy = FedAvg(on_fit_config_fn=lambda _: MappingProxyType({"lr": 0.1}))
    [(_, ins), *_] = configured(strategy, MODEL, 2)
    assert ins.config == {"lr": 0.1}


def test_what_is_no_configuration_is_named() -> None:
    def my_config(server_round: int) -> Any:
        return [server_round]

    with pytest.raises(TypeError, match=r"my_config .*must return a dict, but returned list \[1\]"):
        configured(FedAvg(on_fit_config_fn=my_config), MODEL, 2)


def test_no_fraction_still_trains_the_minimum_but_skips_evaluation() -> None:
    strategy = FedAvg(fraction_fit=0.0, fraction_evaluate=0.0)
    assert len(configured(strategy, MODEL, 9)) == 2
    assert strategy.configure_evaluate(1, MODEL, manager_of(9)) == []


def test_clients_are_drawn_with_the_global_generator() -> None:
    strategy = FedAvg(fraction_fit=0.5)
    drawn = []
    for _ in range(2):
        random.seed(7)
        drawn.append([proxy.cid for proxy, _ in configured(strategy, MODEL, 10)])
    assert drawn[0] == drawn[1]
    random.seed(7)
    assert drawn[0] == [f"c{n}" for n in random.sample(range(1, 11), 5)]


def test_initial_parameters_are_given_once() -> None:
    strategy = FedAvg(initial_parameters=MODEL)
    assert strategy.initialize_parameters(manager_of(0)) is MODEL
    assert strategy.initialize_parameters(manager_of(0)) is None


# --- evaluation on the server ----------------------------------------------------------------


def test_evaluate_hands_over_arrays_and_an_empty_configuration() -> None:
    seen: list[Any] = []

    def evaluate(server_round: int, arrays: list[np.ndarray], config: dict[str, Any]) -> Any:
        arrays[0] += 1  # may be written to
        seen.append((server_round, arrays, config))
        return 0.5, {"accuracy": 0.25}

    strategy = FedAvg(evaluate_fn=evaluate)
    assert strategy.evaluate(4, MODEL) == (0.5, {"accuracy": 0.25})
    [(server_round, [array], config)] = seen
    assert (server_round, array.tolist(), config) == (4, [2.0, 3.0], {})
    assert values_of(MODEL) == [[1.0, 2.0]]


def test_evaluate_may_give_nothing_or_a_list() -> None:
    assert FedAvg().evaluate(1, MODEL) is None
    assert FedAvg(evaluate_fn=lambda *_: None).evaluate(1, MODEL) is None
    assert FedAvg(evaluate_fn=lambda *_: [1.0, {}]).evaluate(1, MODEL) == (1.0, {})


@pytest.mark.parametrize("returned", [0.5, (0.5,), (0.5, 0.75), "no", (0.5, {}, 1)])
def test_what_is_no_evaluation_is_named(returned: Any) -> None:
    def my_evaluate(*_: Any) -> Any:
        return returned

    with pytest.raises(TypeError, match=r"my_evaluate .*must return a pair of \(loss, metrics\)"):
        FedAvg(evaluate_fn=my_evaluate).evaluate(1, MODEL)


# --- which rounds are aggregated -------------------------------------------------------------


def test_nothing_comes_of_no_results() -> None:
    assert FedAvg().aggregate_fit(1, [], [ValueError()]) == (None, {})
    assert FedAvg().aggregate_evaluate(1, [], []) == (None, {})


def test_failures_void_a_round_only_where_they_are_not_accepted() -> None:
    failures: list[Any] = [ValueError()]
    results, losses = trained([[1.0]], [[3.0]]), evaluated(1.0, 3.0)
    parameters, _ = FedAvg().aggregate_fit(1, results, failures)
    assert values_of(parameters) == [[2.0]]
    assert FedAvg().aggregate_evaluate(1, losses, failures)[0] == 2.0
    strict = FedAvg(accept_failures=False)
    assert strict.aggregate_fit(1, results, failures) == (None, {})
    assert strict.aggregate_evaluate(1, losses, failures) == (None, {})


@pytest.mark.parametrize("inplace", [True, False])
def test_rounds_without_examples_are_skipped(
    inplace: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Upstream divides by zero, or makes a model of NaN."""
    strategy = FedAvg(inplace=inplace, fit_metrics_aggregation_fn=lambda _: {"called": True})
    results = trained([[1.0]], [[3.0]], examples=[0, 0])
    assert strategy.aggregate_fit(1, results, []) == (None, {})
    losses = evaluated(1.0, 3.0, examples=[0, 0])
    assert strategy.aggregate_evaluate(1, losses, []) == (None, {})
    assert warnings_in(caplog.records) == [
        "aggregate_fit: no client trained on any examples; the model is kept",
        "aggregate_evaluate: no client evaluated on any examples",
    ]


def test_fault_tolerance_is_about_both_phases() -> None:
    strategy = FaultTolerantFedAvg(min_completion_rate_fit=0.6, min_completion_rate_evaluate=0.5)
    assert (strategy.completion_rate_fit, strategy.completion_rate_evaluate) == (0.6, 0.5)
    failures: list[Any] = [ValueError()]
    assert strategy.aggregate_fit(1, trained([[1.0]]), failures) == (None, {})
    assert strategy.aggregate_evaluate(1, evaluated(3.0), failures)[0] == 3.0
    assert strategy.aggregate_evaluate(1, evaluated(3.0), failures * 2) == (None, {})
    assert strategy.aggregate_fit(1, [], []) == (None, {})


# --- metrics and losses ----------------------------------------------------------------------


def test_metrics_functions_are_given_examples_and_metrics() -> None:
    seen: list[Any] = []

    def gather(pairs: list[tuple[int, dict[str, Any]]]) -> dict[str, Any]:
        seen.append(pairs)
        return {"count": len(pairs)}

    strategy = FedAvg(fit_metrics_aggregation_fn=gather, evaluate_metrics_aggregation_fn=gather)
    results = by_clients([fit_res([[1.0]], 2, a=1), fit_res([[1.0]], 3, a="x")])
    assert strategy.aggregate_fit(1, results, [])[1] == {"count": 2}
    losses = evaluated(1.0, 3.0, examples=[1, 3], b=2.5)
    assert strategy.aggregate_evaluate(1, losses, []) == (2.5, {"count": 2})
    assert seen == [[(2, {"a": 1}), (3, {"a": "x"})], [(1, {"b": 2.5}), (3, {"b": 2.5})]]


def test_that_metrics_are_left_out_is_said_once_a_phase(caplog: pytest.LogCaptureFixture) -> None:
    strategy = FedAvg()
    for server_round in (1, 2):
        assert strategy.aggregate_fit(server_round, trained([[1.0]]), [])[1] == {}
        assert strategy.aggregate_evaluate(server_round, evaluated(1.0), [])[1] == {}
    assert warnings_in(caplog.records) == [
        "No fit_metrics_aggregation_fn provided",
        "No evaluate_metrics_aggregation_fn provided",
    ]


def test_what_are_no_metrics_is_named() -> None:
    def my_metrics(_: Any) -> Any:
        return 0.5

    strategy = FedAvg(fit_metrics_aggregation_fn=my_metrics)
    with pytest.raises(TypeError, match=r"my_metrics .*must return a dict of metrics, .*float 0.5"):
        strategy.aggregate_fit(1, trained([[1.0]]), [])


def test_a_loss_that_is_not_finite_names_its_clients(caplog: pytest.LogCaptureFixture) -> None:
    loss, _ = FedAvg().aggregate_evaluate(2, evaluated(1.0, float("nan"), 2.0), [])
    assert loss is not None
    assert np.isnan(loss)
    assert warnings_in(caplog.records) == [
        "aggregate_evaluate: the loss is not finite, because of client c2"
    ]


# --- the mean --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4", ml_dtypes.bfloat16])
def test_dtypes_are_kept(dtype: Any) -> None:
    [mean] = mean_of(*([np.array([v, 2 * v], dtype)] for v in (1.0, 2.0, 4.5)))
    assert mean.dtype == np.dtype(dtype)
    assert mean.astype(float).tolist() == [2.5, 5.0]


def test_counters_are_averaged_and_rounded() -> None:
    """Upstream makes zeros of them, or floats; bools become true if a single one is."""
    models = [[np.array([n, -n]), np.array(n), np.array([n > 2, True])] for n in (2, 3)]
    ints, scalar, flags = mean_of(*models, examples=[3, 1])
    assert (ints.dtype, ints.tolist()) == (np.int64, [2, -2])
    assert (scalar.dtype, scalar.shape, scalar.tolist()) == (np.int64, (), 2)
    assert (flags.dtype, flags.tolist()) == (np.bool_, [False, True])
    _, scalar, flags = mean_of(*models, examples=[1, 1])
    assert (scalar.tolist(), flags.tolist()) == (2, [True, True])  # half to even


def test_dtypes_that_differ_come_to_what_can_hold_all() -> None:
    """A client that trained in float64, or not at all, does not end a run; neither upstream."""
    single, double = [np.ones(2, "float32"), np.ones(1, "int32")], [np.zeros(2), np.zeros(1)]
    for models in ([single, double], [double, single]):
        assert [(a.dtype.name, a.tolist()) for a in mean_of(*models)] == [
            ("float64", [0.5, 0.5]),
            ("float64", [0.5]),
        ]


def test_memory_order_and_byte_order_do_not_matter() -> None:
    values = np.arange(6.0).reshape(2, 3)
    [mean] = mean_of([values], [np.asfortranarray(values)], [values.astype(">f8")])
    assert mean.tolist() == values.tolist()


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ([np.ones(1)], r"Array 0 of client c2 has shape \(1,\), that of client c1 has \(3,\)"),
        ([np.ones((3, 1))], r"Array 0 of client c2 has shape \(3, 1\)"),
        ([np.ones(3), np.ones(1)], "The result of client c2 has 2 arrays, that of client c1 has 1"),
        ([], "The result of client c2 has 0 arrays"),
        ([np.array(["a", "b", "c"])], "Array 0 has dtypes that do not go together: <U1, float64"),
        ([np.zeros(3, "M8[s]")], "do not go together: datetime64"),
    ],
)
@pytest.mark.parametrize("kind", [FedAvg, FedMedian, FedTrimmedAvg])
def test_models_that_do_not_fit_are_refused(
    kind: type[FedAvg], others: list[Any], message: str
) -> None:
    """Upstream broadcasts (1,) to (3,)."""
    with pytest.raises(InconsistentMessageReplies, match=message) as caught:
        kind().aggregate_fit(1, trained([np.ones(3)], others), [])
    assert isinstance(caught.value, ValueError)


def test_text_has_no_mean() -> None:
    with pytest.raises(AggregationError, match="no mean"):
        mean_of([np.array(["a"])], [np.array(["b"])])


@pytest.mark.parametrize("count", [-1, float("nan"), float("inf"), "3", None])
def test_what_is_no_number_of_examples_names_the_client(count: Any) -> None:
    with pytest.raises(ValueError, match=r"Client c2 reports num_examples="):
        mean_of([[1.0]], [[2.0]], examples=[1, count])


def test_numbers_of_examples_may_come_from_numpy() -> None:
    [mean] = mean_of([[1.0]], [[2.0]], examples=[np.int64(1), np.float32(3)])
    assert mean.tolist() == [1.75]


def test_nan_spreads_with_a_warning_that_names_it(caplog: pytest.LogCaptureFixture) -> None:
    [first, second] = mean_of([[1.0], [1.0]], [[1.0], [np.nan]])
    assert first.tolist() == [1.0]
    assert np.isnan(second).all()
    assert "array '1' of node 2" in warnings_in(caplog.records)[0]


def test_results_stay_as_they_are() -> None:
    results = trained([[1.0], [2]], [[3.0], [4]])
    before = [values_of(result.parameters) for _, result in results]
    FedAvg().aggregate_fit(1, results, [])
    assert [values_of(result.parameters) for _, result in results] == before
    assert [result.num_examples for _, result in results] == [1, 1]


def test_clients_of_ones_own_need_no_node() -> None:
    proxies = [NamedClient("left"), NamedClient("right")]
    results = [(proxy, fit_res([[n]])) for n, proxy in enumerate(proxies)]
    parameters, _ = FedAvg().aggregate_fit(1, results, [])
    assert values_of(parameters) == [[0]]
    with pytest.raises(ValueError, match=r"client right has shape \(2,\), that of client left"):
        FedAvg().aggregate_fit(1, [results[0], (proxies[1], fit_res([[1, 2]]))], [])


def test_results_may_be_of_any_tensor_type() -> None:
    results = by_clients(
        fit_res(Parameters([ndarray_to_bytes(np.array([value]))], "numpy")) for value in (1.0, 2.0)
    )
    parameters, _ = FedAvg().aggregate_fit(1, results, [])
    assert parameters is not None
    assert (values_of(parameters), parameters.tensor_type) == ([[1.5]], "numpy.ndarray")


@pytest.mark.parametrize("tensor_type", ["numpy.ndarray", "numpy"])
def test_results_that_came_as_bytes_are_read(tensor_type: str) -> None:
    """A client that made its parameters itself sends its bytes as they are."""
    results = by_clients(
        fit_res(
            bridge.arrayrecord_to_parameters(
                bridge.parameters_to_arrayrecord(
                    Parameters([ndarray_to_bytes(np.array([value]))], tensor_type), keep_input=True
                ),
                keep_input=True,
            )
        )
        for value in (1.0, 2.0)
    )
    parameters, _ = FedAvg().aggregate_fit(1, results, [])
    assert values_of(parameters) == [[1.5]]


def test_bytes_that_are_no_arrays_are_an_error() -> None:
    with pytest.raises(ValueError, match="npy"):
        FedAvg().aggregate_fit(1, by_clients([fit_res(Parameters([b"no"], "numpy.ndarray"))]), [])


def test_models_from_messages_are_read_as_they_came() -> None:
    """A Message-API client names its arrays as it likes."""
    results = by_clients(
        fit_res(
            bridge.arrayrecord_to_parameters(
                ArrayRecord({"z": ArrayRecord([np.array([v])])["0"],
                             "a": ArrayRecord([np.array([-v])])["0"]}), keep_input=True)
        )
        for v in (1.0, 3.0)
    )  # fmt: skip
    parameters, _ = FedAvg().aggregate_fit(1, results, [])
    assert values_of(parameters) == [[2.0], [-2.0]]


def test_a_model_without_arrays_stays_one() -> None:
    parameters, _ = FedAvg().aggregate_fit(1, trained([], []), [])
    assert parameters == Parameters([], "numpy.ndarray")


# --- variants --------------------------------------------------------------------------------


def test_fedprox_gives_each_client_a_configuration_of_its_own() -> None:
    shared = {"lr": 0.1}
    strategy = FedProx(proximal_mu=0.3, on_fit_config_fn=lambda _: shared)
    pairs = configured(strategy, MODEL, 3)
    assert [ins.config for _, ins in pairs] == [{"lr": 0.1, "proximal_mu": 0.3}] * 3
    assert len({id(ins.config) for _, ins in pairs}) == 3
    assert shared == {"lr": 0.1}
    assert {id(ins.parameters) for _, ins in pairs} == {id(MODEL)}


def test_fedprox_needs_its_mu() -> None:
    with pytest.raises(TypeError, match="proximal_mu"):
        FedProx()
    with pytest.raises(ValueError, match="proximal_mu must be 0 or more"):
        FedProx(proximal_mu=-1.0)


@pytest.mark.parametrize("beta", [-0.1, 0.5, "0.2"])
def test_trimming_half_or_more_is_refused(beta: Any) -> None:
    with pytest.raises(ValueError, match="beta"):
        FedTrimmedAvg(beta=beta)


def test_the_median_takes_the_arguments_of_fedavg_and_ignores_examples() -> None:
    strategy = FedMedian(inplace=False)
    parameters, _ = strategy.aggregate_fit(
        1, trained([[1.0]], [[2.0]], [[9.0]], examples=[0, 0, 0]), []
    )
    assert values_of(parameters) == [[2.0]]


def test_own_subclasses_work_as_upstream() -> None:
    """The pattern of most existing apps."""

    class Mine(FedAvg):
        def __init__(self, factor: float, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.factor = factor
            self.seen: list[Any] = []

        def aggregate_fit(self, server_round: int, results: Any, failures: Any) -> Any:
            self.seen.append(results)
            parameters, metrics = super().aggregate_fit(server_round, results, failures)
            assert parameters is not None
            arrays = [self.factor * array for array in arrays_of(parameters)]
            return ndarrays_to_parameters(arrays), {**metrics, "last": self.seen[-1][0][1]}

    results = trained([[1.0]], [[3.0]])
    parameters, metrics = Mine(10.0, fraction_fit=0.5).aggregate_fit(2, results, [])
    assert values_of(parameters) == [[20.0]]
    assert metrics == {"last": results[0][1]}


def test_losses_of_clients_without_examples_do_not_count() -> None:
    losses = [
        (client(n), EvaluateRes(OK, loss, count, {}))
        for n, (loss, count) in enumerate([(9.0, 0), (1.0, 2)])
    ]
    assert FedAvg().aggregate_evaluate(1, losses, [])[0] == 1.0
