"""The four wrappers for differential privacy: each of upstream's defects, and what is kept."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from legacy_rounds import (
    arrays_of,
    by_clients,
    configured,
    evaluated,
    fit_res,
    manager_of,
    model_of,
    round_of,
    saved,
    trained,
    values_of,
    warnings_in,
)

from flwr.compat.parameters import ndarrays_to_parameters
from flwr.compat.typing import Parameters
from flwr.server import strategy as legacy
from flwr.server.strategy import (
    DifferentialPrivacyClientSideAdaptiveClipping,
    DifferentialPrivacyClientSideFixedClipping,
    DifferentialPrivacyServerSideAdaptiveClipping,
    DifferentialPrivacyServerSideFixedClipping,
    FaultTolerantFedAvg,
    FedAvg,
    FedAvgM,
    Strategy,
)
from flwr.serverapp.exception import AggregationError, InconsistentMessageReplies

START = model_of([0.0, 0.0])
SIZE = 40_000
WIDE = model_of(np.zeros(SIZE))


def server_side(inner: Strategy | None = None, **settings: Any) -> Any:
    given = {"noise_multiplier": 0.0, "clipping_norm": 1.0, "num_sampled_clients": 2, **settings}
    return DifferentialPrivacyServerSideFixedClipping(inner or FedAvg(), **given)


def client_side(inner: Strategy | None = None, **settings: Any) -> Any:
    given = {"noise_multiplier": 0.0, "clipping_norm": 1.0, "num_sampled_clients": 2, **settings}
    return DifferentialPrivacyClientSideFixedClipping(inner or FedAvg(), **given)


def server_adaptive(inner: Strategy | None = None, **settings: Any) -> Any:
    given = {"noise_multiplier": 0.0, "num_sampled_clients": 2, **settings}
    return DifferentialPrivacyServerSideAdaptiveClipping(inner or FedAvg(), **given)


def client_adaptive(inner: Strategy | None = None, **settings: Any) -> Any:
    given = {"noise_multiplier": 0.0, "num_sampled_clients": 2, **settings}
    return DifferentialPrivacyClientSideAdaptiveClipping(inner or FedAvg(), **given)


ALL: list[Callable[..., Any]] = [server_side, client_side, server_adaptive, client_adaptive]


@pytest.mark.parametrize("make", ALL)
def test_they_present_themselves_and_pass_on_the_rest(make: Callable[..., Any]) -> None:
    title = {
        server_side: "Server-Side Fixed", client_side: "Client-Side Fixed",
        server_adaptive: "Server-Side Adaptive", client_adaptive: "Client-Side Adaptive",
    }[make]  # fmt: skip
    inner = FedAvg(initial_parameters=START, evaluate_fn=lambda *_: (0.5, {}))
    strategy = make(inner)
    assert repr(strategy) == f"Differential Privacy Strategy Wrapper ({title} Clipping)"
    assert strategy.strategy is inner
    assert strategy.evaluate(1, START) == (0.5, {})
    assert strategy.aggregate_evaluate(1, evaluated(1.0, 3.0), []) == (2.0, {})
    assert [ins.config for _, ins in strategy.configure_evaluate(1, START, manager_of(2))] == [
        {},
        {},
    ]
    assert strategy.initialize_parameters(manager_of(0)) is START


@pytest.mark.parametrize("make", ALL)
def test_the_bound_is_sent_to_clients_that_clip(make: Callable[..., Any]) -> None:
    shared = {"lr": 0.1}
    strategy = make(FedAvg(on_fit_config_fn=lambda _: shared))
    pairs = configured(strategy, START, 3)
    bound = {"clipping_norm": strategy.clipping_norm}
    expected = {"lr": 0.1} if make in (server_side, server_adaptive) else {"lr": 0.1, **bound}
    assert [ins.config for _, ins in pairs] == [expected] * 3
    assert len({id(ins) for _, ins in pairs}) == 1  # sent once
    assert shared == {"lr": 0.1}  # upstream writes to it


@pytest.mark.parametrize("make", ALL)
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"noise_multiplier": -1}, "The noise multiplier should be a non-negative value."),
        ({"num_sampled_clients": 0}, "The number of sampled clients should be a positive value."),
        ({"noise_multiplier": "1"}, "The noise multiplier should be a non-negative value."),
    ],
)
def test_settings_are_checked(
    make: Callable[..., Any], settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"initial_clipping_norm": 0.0},
        {"target_clipped_quantile": 1.5},
        {"clip_norm_lr": 0.0},
        {"clipped_count_stddev": -1.0},
        {"noise_multiplier": 2.0, "num_sampled_clients": 20},
    ],
)
def test_settings_of_bounds_that_adapt_are_checked(settings: dict[str, Any]) -> None:
    for make in (server_adaptive, client_adaptive):
        with pytest.raises(ValueError, match=r"norm|quantile|rate|stddev"):
            make(**settings)


@pytest.mark.parametrize(
    "inner",
    [
        legacy.Krum, legacy.Bulyan, legacy.FedMedian,
        legacy.FedTrimmedAvg, legacy.QFedAvg, legacy.FedXgbBagging,
        legacy.FedXgbCyclic, legacy.FedAvgAndroid, server_side,
        lambda: FedAvg,
    ],
)  # fmt: skip
def test_rules_that_make_no_mean_are_refused(inner: Callable[[], Any]) -> None:
    """Noise for a mean does not hide a client in another rule; upstream adds it all the same."""
    with pytest.raises(ValueError, match=r"makes no mean|is the class FedAvg"):
        server_side(inner())


def test_no_strategy_is_refused() -> None:
    with pytest.raises(ValueError, match="The passed strategy is None"):
        DifferentialPrivacyServerSideFixedClipping(None, 1.0, 1.0, 2)


@pytest.mark.parametrize("make", ALL)
def test_there_is_no_update_without_the_model_that_was_sent(make: Callable[..., Any]) -> None:
    with pytest.raises(AggregationError, match="`configure_fit` comes before `aggregate_fit`"):
        make().aggregate_fit(1, trained([[1.0, 1.0]]), [])


# --- what is clipped -------------------------------------------------------------------------


def test_an_update_of_length_0_is_no_error() -> None:
    """Upstream divides by it."""
    for strategy in (server_side(), server_adaptive()):
        parameters, _ = round_of(strategy, START, trained([[0.0, 0.0]], [[0.0, 0.0]]))
        assert values_of(parameters) == [[0.0, 0.0]]


def test_counters_keep_the_values_that_were_sent() -> None:
    """Upstream cannot clip them."""
    start = model_of([0.0], [7], [True])
    results = trained([[9.0], [8], [False]], [[0.0], [9], [False]])
    parameters, _ = round_of(server_side(), start, results)
    assert values_of(parameters) == [[0.5], [7], [True]]
    assert arrays_of(parameters)[1].dtype == np.int64


def test_arrays_without_dimensions_are_clipped() -> None:
    """Upstream lets them through as they are."""
    results = trained([np.array(6.0)], [np.array(0.0)])
    parameters, _ = round_of(server_side(clipping_norm=0.1), model_of(np.array(0.0)), results)
    assert values_of(parameters) == [pytest.approx(0.05)]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_updates_that_are_not_finite_count_as_none(
    bad: float, caplog: pytest.LogCaptureFixture
) -> None:
    parameters, _ = round_of(server_side(), START, trained([[bad, 0.0]], [[0.5, 0.0]]))
    assert values_of(parameters) == [[0.25, 0.0]]
    assert "aggregate_fit: updates that are not finite count as none: node 1" in warnings_in(
        caplog.records
    )


def test_clients_are_trusted_unless_told_otherwise(caplog: pytest.LogCaptureFixture) -> None:
    results = trained([[3.0, 4.0]], [[0.0, 0.0]])
    assert values_of(round_of(client_side(), START, results)[0]) == [[1.5, 2.0]]
    assert any("longer than the clipping norm" in text for text in warnings_in(caplog.records))
    assert values_of(round_of(client_side(reclip=True), START, results)[0]) == [
        pytest.approx([0.3, 0.4])
    ]


def test_results_that_do_not_fit_the_model_are_refused() -> None:
    with pytest.raises(InconsistentMessageReplies, match="does not fit"):
        round_of(server_side(), START, trained([[1.0]], [[2.0]]))


# --- how it is noised ------------------------------------------------------------------------


def spread(parameters: Parameters | None) -> float:
    [array] = arrays_of(parameters)
    return float(array.std())


def test_noise_is_that_of_a_mean_of_the_whole_cohort(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    strategy = server_side(noise_multiplier=2.0, clipping_norm=0.5, num_sampled_clients=4)
    parameters, _ = round_of(strategy, WIDE, trained(*[WIDE] * 4))
    assert spread(parameters) == pytest.approx(0.25, rel=0.03)
    said = [record.getMessage() for record in caplog.records]
    assert "aggregate_fit: parameters are clipped by value: 0.5000." in said
    assert "aggregate_fit: central DP noise with 0.2500 stdev added" in said


def test_no_client_moves_the_mean_by_more_than_its_share() -> None:
    """Upstream weights by examples: one client then moves it by almost the whole bound."""
    results = trained([[9.0, 0.0]], [[0.0, 0.0]], examples=[10**9, 1])
    parameters, _ = round_of(server_side(noise_multiplier=1e-9), START, results)
    assert values_of(parameters) == [pytest.approx([0.5, 0.0], abs=1e-6)]
    parameters, _ = round_of(server_side(), START, results)  # no guarantee is meant
    assert values_of(parameters) == [pytest.approx([1.0, 0.0])]


def test_the_denominator_is_fixed() -> None:
    strategy = server_side(noise_multiplier=1e-9, num_sampled_clients=4)
    parameters, _ = round_of(strategy, START, trained([[1.0, 0.0]], [[1.0, 0.0]]))
    assert values_of(parameters) == [pytest.approx([0.5, 0.0], abs=1e-6)]


def test_one_failed_client_does_not_void_a_round() -> None:
    """Upstream drops it."""
    strategy = server_side()
    configured(strategy, START, 2)
    failures: list[Any] = [ValueError()]
    parameters, _ = strategy.aggregate_fit(1, trained([[0.5, 0.0]]), failures)
    assert values_of(parameters) == [[0.5, 0.0]]
    strict = server_side(FedAvg(accept_failures=False))
    configured(strict, START, 2)
    assert strict.aggregate_fit(1, trained([[0.5, 0.0]]), failures) == (None, {})


def test_cohorts_of_another_size_are_warned_of_before_training_and_after(
    caplog: pytest.LogCaptureFixture,
) -> None:
    strategy = server_side(noise_multiplier=1.0, num_sampled_clients=3)
    round_of(strategy, START, trained([[0.0, 0.0]], [[0.0, 0.0]]))
    first, *_, last = (text for text in warnings_in(caplog.records) if "sampled" in text)
    assert first.startswith("configure_fit: 2 clients are asked, but num_sampled_clients is 3")
    assert last.startswith("The number of clients returning parameters (2) differs from the number")
    caplog.clear()
    round_of(server_side(noise_multiplier=1.0), START, trained([[0.0, 0.0]], [[0.0, 0.0]]))
    assert [text for text in warnings_in(caplog.records) if "sampled" in text] == []


def test_noise_cannot_be_predicted() -> None:
    made = []
    for _ in range(2):
        np.random.seed(0)  # upstream draws from it
        made.append(
            values_of(round_of(server_side(noise_multiplier=1.0), START, trained(START, START))[0])
        )
    assert made[0] != made[1]


def test_noise_comes_before_the_servers_step() -> None:
    """Upstream's FedAvgM keeps a copy without noise, and releases it later."""
    inner = FedAvgM(server_learning_rate=0.5, server_momentum=0.9)
    strategy = server_side(inner, noise_multiplier=2.0)
    parameters, _ = round_of(strategy, WIDE, trained(WIDE, WIDE))
    assert inner.initial_parameters is parameters
    assert spread(parameters) == pytest.approx(0.5, rel=0.03)
    assert inner.momentum_vector is not None
    assert inner.momentum_vector[0].std() == pytest.approx(1.0, rel=0.03)


def test_the_strategy_is_as_before_after_a_round() -> None:
    inner = FedAvg()
    before = dict(vars(inner))
    round_of(server_side(inner), START, trained([[1.0, 1.0]], [[1.0, 1.0]]))
    assert vars(inner) == before
    with pytest.raises(InconsistentMessageReplies):
        round_of(server_side(inner), START, trained([[1.0]], [[1.0]]))
    assert vars(inner) == before


def test_strategies_of_ones_own_take_their_model_from_fedavg() -> None:
    class Saving(FedAvg):
        saved: Any = None

        def aggregate_fit(self, server_round: int, results: Any, failures: Any) -> Any:
            parameters, metrics = super().aggregate_fit(server_round, results, failures)
            self.saved = values_of(parameters)
            return parameters, {**metrics, "saved": True}

    inner = Saving()
    parameters, metrics = round_of(server_side(inner), START, trained([[0.5, 0.0]]))
    assert (values_of(parameters), metrics) == (inner.saved, {"saved": True})

    class Own(FedAvg):
        def aggregate_fit(self, server_round: int, results: Any, failures: Any) -> Any:
            return ndarrays_to_parameters([np.zeros(2)]), {}

    class Twice(FedAvg):
        def aggregate_fit(self, server_round: int, results: Any, failures: Any) -> Any:
            super().aggregate_fit(server_round, results, failures)
            return super().aggregate_fit(server_round, results, failures)

    for inner_class, message in ((Own, "made a model of its own"), (Twice, "reduced .* twice")):
        with pytest.raises(
            AggregationError, match=f"{inner_class.__name__}.aggregate_fit {message}"
        ):
            round_of(server_side(inner_class()), START, trained([[1.0, 1.0]]))


def test_fault_tolerance_can_be_private() -> None:
    strategy = server_side(FaultTolerantFedAvg(min_completion_rate_fit=0.9))
    configured(strategy, START, 2)
    failures: list[Any] = [ValueError()]
    assert strategy.aggregate_fit(1, trained([[0.5, 0.0]]), failures) == (None, {})
    assert strategy.aggregate_fit(1, trained([[0.5, 0.0]]), [])[0] is not None


# --- the bit, and the bound that adapts ------------------------------------------------------


def with_bits(*bits: Any) -> Any:
    return by_clients(fit_res([[0.0, 0.0]], norm_bit=bit, accuracy=0.5) for bit in bits)


@pytest.mark.parametrize(("bits", "factor"), [((1, 1), 1.1), ((0, 0), 1 / 1.1), ((1, 0), 1.0)])
def test_the_bound_grows_while_most_updates_are_clipped(bits: Any, factor: float) -> None:
    """Upstream moves it the other way, ever faster."""
    strategy = client_adaptive(clip_norm_lr=2 * np.log(1.1))
    round_of(strategy, START, with_bits(*bits))
    assert strategy.clipping_norm == pytest.approx(0.1 * factor)


def test_bits_may_be_bools_or_floats() -> None:
    strategy = client_adaptive()
    round_of(strategy, START, with_bits(True, 1.0))
    assert strategy.clipping_norm > 0.1


def test_noise_is_scaled_with_the_bound_that_clipped() -> None:
    """Upstream scales it with the next one."""
    strategy = server_adaptive(
        noise_multiplier=1.0,
        initial_clipping_norm=8.0,
        clip_norm_lr=50.0,
        num_sampled_clients=4,
        clipped_count_stddev=1e3,
    )
    parameters, _ = round_of(strategy, WIDE, trained(*[WIDE] * 4))
    assert spread(parameters) == pytest.approx(2.0, rel=0.03)
    assert strategy.clipping_norm != 8.0


def test_a_missing_bit_is_a_key_error_that_names_the_client() -> None:
    with pytest.raises(KeyError, match="norm_bit not returned by client with id c2"):
        round_of(client_adaptive(), START, [*with_bits(1), trained(START, START)[1]])
    with pytest.raises(AggregationError, match="'norm_bit' of client c1 is 0.5, not 0 or 1"):
        round_of(client_adaptive(), START, with_bits(0.5))


@pytest.mark.parametrize("make", ALL)
def test_bits_are_in_no_metric(make: Callable[..., Any]) -> None:
    """Upstream averages them, without noise."""
    seen: list[Any] = []

    def gather(pairs: Any) -> Any:
        seen.extend(metrics for _, metrics in pairs)
        return {}

    results = with_bits(1, 0)
    round_of(make(FedAvg(fit_metrics_aggregation_fn=gather)), START, results)
    assert seen == [{"accuracy": 0.5}] * 2
    assert [result.metrics["norm_bit"] for _, result in results] == [1, 0]  # theirs stay


def test_rounds_that_are_skipped_leave_the_bound() -> None:
    strategy = client_adaptive()
    configured(strategy, START, 2)
    assert strategy.aggregate_fit(1, [], [ValueError()]) == (None, {})
    assert strategy.clipping_norm == 0.1


@pytest.mark.parametrize("make", [server_adaptive, client_adaptive])
def test_the_bound_and_the_strategys_state_are_kept(make: Callable[..., Any]) -> None:
    momentum = {"server_momentum": 0.9, "server_learning_rate": 0.5}
    first, second = make(FedAvgM(**momentum)), make(FedAvgM(**momentum))
    round_of(first, START, with_bits(1, 1))
    second.load_state_dict(saved(first.state_dict()))
    assert second.clipping_norm == first.clipping_norm
    assert second.strategy.momentum_vector[0].tolist() == [0.0, 0.0]
    plain = make()
    plain.load_state_dict(saved(make().state_dict()))  # FedAvg has no state
