"""DPFedAvgFixed and DPFedAvgAdaptive, the older wrappers."""

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
    warnings_in,
)

from flwr.server.strategy import DPFedAvgAdaptive, DPFedAvgFixed, FedAvg, FedAvgM
from flwr.serverapp.exception import AggregationError

SIZE = 40_000
WIDE = model_of(np.zeros(SIZE))


class Recording(FedAvg):
    """Keeps what it is given."""

    given: Any = None

    def aggregate_fit(self, server_round: int, results: Any, failures: Any) -> Any:
        self.given = results
        return super().aggregate_fit(server_round, results, failures)


def fixed(inner: Any = None, **settings: Any) -> DPFedAvgFixed:
    given: Any = {"num_sampled_clients": 4, "clip_norm": 0.5, "noise_multiplier": 0, **settings}
    return DPFedAvgFixed(inner or FedAvg(), **given)


def adaptive(inner: Any = None, **settings: Any) -> DPFedAvgAdaptive:
    given: Any = {"num_sampled_clients": 4, "noise_multiplier": 0, **settings}
    return DPFedAvgAdaptive(inner or FedAvg(), **given)


def with_bits(*bits: Any) -> Any:
    return by_clients(fit_res([[1.0]], dpfedavg_norm_bit=bit) for bit in bits)


def test_they_are_deprecated_and_say_so_once(caplog: pytest.LogCaptureFixture) -> None:
    assert repr(fixed()) == "Strategy with DP with Fixed Clipping enabled."
    assert repr(adaptive()) == "Strategy with DP with Adaptive Clipping enabled."
    first, second = warnings_in(caplog.records)
    assert first.startswith("DEPRECATED FEATURE: `DPFedAvgFixed` wrapper")
    assert second.startswith("DEPRECATED FEATURE: `DPFedAvgAdaptive` wrapper")


def test_what_clients_are_sent() -> None:
    shared = {"lr": 0.1}
    inner = FedAvg(on_fit_config_fn=lambda _: shared)
    bound = {"lr": 0.1, "dpfedavg_clip_norm": 0.5}
    for strategy, expected in (
        (fixed(inner), bound),
        (
            fixed(inner, noise_multiplier=2, server_side_noising=False),
            {**bound, "dpfedavg_noise_stddev": 0.5},
        ),
        (
            adaptive(inner, init_clip_norm=0.5),
            {**bound, "dpfedavg_adaptive_clip_enabled": True},
        ),
    ):
        pairs = configured(strategy, WIDE, 3)
        assert [ins.config for _, ins in pairs] == [expected] * 3
        assert len({id(ins) for _, ins in pairs}) == 1
        assert [i.config for _, i in strategy.configure_evaluate(1, WIDE, manager_of(2))] == [
            {},
            {},
        ]
    assert shared == {"lr": 0.1}


@pytest.mark.parametrize(
    "settings", [{"clip_norm": 0.0}, {"noise_multiplier": -1}, {"num_sampled_clients": 0}]
)
def test_settings_are_checked(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="should be a"):
        fixed(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"init_clip_norm": -1.0},
        {"clip_norm_lr": 0},
        {"clip_norm_target_quantile": 2},
        {"clip_count_stddev": -1},
        {"noise_multiplier": 1.0, "num_sampled_clients": 5},  # upstream: a complex number
    ],
)
def test_settings_of_the_adaptive_bound_are_checked(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"should|must"):
        adaptive(**settings)


def test_all_clients_count_the_same() -> None:
    inner = Recording()
    results = trained([[1.0]], [[2.0]], [[3.0]], [[6.0]], examples=[1, 2, 3, 0])
    parameters, _ = round_of(fixed(inner), model_of([0.0]), results)
    assert values_of(parameters) == [[3.0]]
    assert [result.num_examples for _, result in inner.given] == [1, 1, 1, 1]
    assert [result.num_examples for _, result in results] == [1, 2, 3, 0]  # theirs stay


def test_a_failure_voids_the_round() -> None:
    for strategy in (fixed(), adaptive()):
        assert strategy.aggregate_fit(1, with_bits(True), [ValueError()]) == (None, {})
        assert strategy.aggregate_fit(1, [], []) == (None, {})  # upstream's bound divides by 0


def test_noise_of_the_mean() -> None:
    inner = Recording()
    strategy = fixed(inner, noise_multiplier=2.0)
    parameters, _ = round_of(strategy, WIDE, trained(*[WIDE] * 4))
    assert arrays_of(parameters)[0].std() == pytest.approx(2.0 * 0.5 / 4, rel=0.03)
    models = [arrays_of(result.parameters)[0] for _, result in inner.given]
    assert [model.std() for model in models] == [pytest.approx(0.5, rel=0.03)] * 4
    assert len({model[0] for model in models}) == 4


def test_noise_is_not_added_twice() -> None:
    """Upstream adds it on the server, too, where the clients do."""
    strategy = fixed(noise_multiplier=2.0, server_side_noising=False)
    parameters, _ = round_of(strategy, WIDE, trained(*[WIDE] * 4))
    assert not arrays_of(parameters)[0].any()


def test_dtypes_are_kept_and_counters_as_they_were_sent() -> None:
    start = model_of(np.zeros(2, "float32"), [7], np.array(0.0))
    results = trained(*[model_of(np.ones(2, "float32"), [9], np.array(1.0))] * 4)
    strategy = fixed(noise_multiplier=0.1)
    parameters, _ = round_of(strategy, start, results)
    floats, ints, scalar = arrays_of(parameters)
    assert (floats.dtype, ints.dtype, scalar.shape) == (np.float32, np.int64, ())
    assert ints.tolist() == [7]
    assert 0 < abs(float(scalar) - 1.0) < 1
    with pytest.raises(AggregationError, match="Array 1 is of dtype int64 and cannot be noised"):
        fixed(noise_multiplier=0.1).aggregate_fit(1, results, [])


def test_cohorts_of_another_size_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    fixed().aggregate_fit(2, trained([[1.0]]), [])
    assert warnings_in(caplog.records)[-1].startswith("aggregate_fit: there are 1 results, but num")


def test_the_bound_follows_those_within_it() -> None:
    strategy = adaptive(clip_norm_lr=2 * np.log(1.1))
    strategy.aggregate_fit(1, with_bits(True, True, True, True), [])
    assert strategy.clip_norm == pytest.approx(0.1 / 1.1)
    strategy.aggregate_fit(2, with_bits(False, False, False, False), [])
    assert strategy.clip_norm == pytest.approx(0.1)


def test_bits_are_in_no_metric() -> None:
    """Upstream hands them on, without noise."""
    inner = Recording()
    results = with_bits(True, False, True, True)
    adaptive(inner).aggregate_fit(1, results, [])
    assert [result.metrics for _, result in inner.given] == [{}] * 4
    assert results[0][1].metrics == {"dpfedavg_norm_bit": True}  # theirs stay


def test_the_count_is_noised() -> None:
    bounds = set()
    for _ in range(5):
        strategy = adaptive(noise_multiplier=0.1, clip_count_stddev=1.0)
        strategy.aggregate_fit(1, with_bits(True, False, True, False), [])
        bounds.add(strategy.clip_norm)
    assert len(bounds) == 5


def test_a_missing_bit_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="dpfedavg_norm_bit not returned by client with id c2"):
        adaptive().aggregate_fit(1, [*with_bits(True), trained([[1.0]], [[1.0]])[1]], [])


def test_the_bound_and_the_strategys_state_are_kept() -> None:
    def made() -> DPFedAvgAdaptive:
        return adaptive(FedAvgM(server_momentum=0.9, initial_parameters=model_of([0.0])))

    first, second = made(), made()
    first.aggregate_fit(1, with_bits(True, True, True, True), [])
    second.load_state_dict(saved(first.state_dict()))
    assert second.clip_norm == first.clip_norm < 0.1
    assert isinstance(second.strategy, FedAvgM)
    assert second.strategy.momentum_vector is not None
