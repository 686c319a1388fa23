"""Accountants: figures against dp-accounting's and the closed form, limits, state."""

import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import flwr.serverapp
from flwr.serverapp import (
    GaussianAccountant,
    GaussianPrivacyEvent,
    NeighboringRelation,
    PrivacyAccountant,
    PrivacyConfig,
    RdpAccountant,
    SamplingMethod,
)

CASES = json.loads((Path(__file__).parents[2] / "data" / "privacy.json").read_text())["accountant"]
EVENT = GaussianPrivacyEvent(1.0, 100, 1000)

Make = Callable[[PrivacyConfig], PrivacyAccountant]


def config(
    sampling: str = "no-amplification", max_epsilon: float | None = None, delta: float = 1e-5
) -> PrivacyConfig:
    relation = "replace-one" if sampling == "without-replacement" else "add-or-remove-one"
    return PrivacyConfig(
        delta, 1000, NeighboringRelation(relation), SamplingMethod(sampling), max_epsilon
    )


@pytest.mark.parametrize(
    "case", CASES, ids=lambda c: f"{c['sampling']}-{c['noise_multiplier']}-{c['releases']}"
)
def test_rdp_epsilon_and_its_order(case: dict[str, Any]) -> None:
    accountant = RdpAccountant(config(case["sampling"], delta=case["delta"]))
    event = GaussianPrivacyEvent(case["noise_multiplier"], 100, 1000)
    accountant.compose(event, case["releases"])
    spent = accountant.get_privacy_spent()
    assert spent.epsilon == pytest.approx(case["rdp_epsilon"], rel=1e-3)
    assert spent.optimal_order == case["rdp_optimal_order"]
    assert spent.num_releases == case["releases"]
    assert spent.accounting_method == "rdp"
    assert accountant.get_delta(spent.epsilon) == pytest.approx(case["delta"], rel=1e-6)


@pytest.mark.parametrize("case", [case for case in CASES if "exact_epsilon" in case])
def test_gaussian_epsilon_is_the_closed_form(case: dict[str, Any]) -> None:
    accountant = GaussianAccountant(config(delta=case["delta"]))
    accountant.compose(GaussianPrivacyEvent(case["noise_multiplier"], 100, 1000), case["releases"])
    spent = accountant.get_privacy_spent()
    assert spent.epsilon == pytest.approx(case["exact_epsilon"], rel=1e-9)
    assert spent.epsilon < case["rdp_epsilon"]
    assert spent.optimal_order is None
    assert accountant.get_delta(spent.epsilon) == pytest.approx(case["delta"], rel=1e-9)


def test_gaussian_accountant_knows_no_sampling() -> None:
    with pytest.raises(ValueError, match="GaussianAccountant knows no sampling"):
        GaussianAccountant(config("poisson"))


def test_low_orders_that_cannot_be_computed_are_left_out_silently(
    caplog: pytest.LogCaptureFixture,
) -> None:
    accountant = RdpAccountant(config("poisson"))
    accountant.compose(EVENT)
    with caplog.at_level(logging.WARNING):
        accountant.get_privacy_spent()
    assert not caplog.records


both = pytest.mark.parametrize("make", [RdpAccountant, GaussianAccountant])


@both
def test_nothing_composed_costs_nothing(make: Make) -> None:
    accountant = make(config())
    assert isinstance(accountant, PrivacyAccountant)
    assert accountant.num_releases == 0
    assert accountant.get_epsilon(1e-5) == 0.0
    assert accountant.get_delta(1.0) == 0.0
    assert accountant.get_privacy_spent().optimal_order in (1.1, None)


@both
def test_releases_add_up_one_by_one_or_together(make: Make) -> None:
    one_by_one, together = make(config()), make(config())
    for _ in range(3):
        one_by_one.compose(EVENT)
    together.compose(EVENT, count=3)
    other = GaussianPrivacyEvent(2.0, 50, 1000)
    one_by_one.compose(other)
    together.compose(other)
    assert one_by_one.get_privacy_spent() == together.get_privacy_spent()
    assert one_by_one.num_releases == 4


@both
def test_would_exceed_allows_the_limit_itself(make: Make) -> None:
    accountant = make(config())
    accountant.compose(EVENT, 2)
    limit = accountant.get_epsilon(1e-5)
    accountant = make(config(max_epsilon=limit))
    assert not accountant.would_exceed(EVENT)
    assert not accountant.would_exceed(EVENT, count=2)
    assert accountant.would_exceed(EVENT, count=3)
    assert accountant.would_exceed(EVENT, max_epsilon=limit / 4)
    assert accountant.num_releases == 0


@both
def test_would_exceed_needs_a_limit(make: Make) -> None:
    with pytest.raises(ValueError, match="No limit is known"):
        make(config()).would_exceed(EVENT)


@both
@pytest.mark.parametrize("count", [0, -1, 1.5, True])
def test_a_count_is_an_int_above_0(make: Make, count: Any) -> None:
    accountant = make(config(max_epsilon=1.0))
    with pytest.raises(ValueError, match="count must be an int above 0"):
        accountant.compose(EVENT, count)
    with pytest.raises(ValueError, match="count must be an int above 0"):
        accountant.would_exceed(EVENT, count=count)


@both
def test_the_population_is_the_configs(make: Make) -> None:
    with pytest.raises(ValueError, match="population_size is 999, the accountant's is 1000"):
        make(config()).compose(GaussianPrivacyEvent(1.0, 100, 999))


@both
@pytest.mark.parametrize("delta", [0, 1, -1e-5, float("nan"), True])
def test_delta_lies_between_0_and_1(make: Make, delta: Any) -> None:
    with pytest.raises(ValueError, match="delta must be a number between 0 and 1"):
        make(config()).get_epsilon(delta)


@both
@pytest.mark.parametrize("epsilon", [-1.0, float("nan"), float("inf")])
def test_epsilon_is_0_or_more(make: Make, epsilon: float) -> None:
    with pytest.raises(ValueError, match="epsilon must be"):
        make(config()).get_delta(epsilon)


@both
def test_state_survives_json(make: Make) -> None:
    accountant = make(config(max_epsilon=8.0))
    accountant.compose(EVENT, 5)
    accountant.compose(GaussianPrivacyEvent(2.0, 10, 1000))
    state = json.loads(json.dumps(accountant.state_dict()))
    other = make(config(max_epsilon=8.0))
    other.load_state_dict(state)
    assert other.get_privacy_spent() == accountant.get_privacy_spent()
    assert other.state_dict() == accountant.state_dict()


@both
@pytest.mark.parametrize(
    "change",
    [
        {"schema_version": 2},
        {"backend": "pld"},
        {"config": {}},
        {"compositions": [{"event": {"noise_multiplier": -1.0}, "count": 1}]},
        {"compositions": [{"count": 1}]},
        {"compositions": [{"event": {"noise_multiplier": 1.0, "sample_size": 1,
                                     "population_size": 1000}, "count": 0}]},
        {"compositions": None},
    ],
)  # fmt: skip
def test_a_state_that_does_not_fit_changes_nothing(make: Make, change: dict[str, Any]) -> None:
    accountant = make(config())
    accountant.compose(EVENT)
    before = accountant.state_dict()
    with pytest.raises(ValueError, match="The accountant's state has"):
        accountant.load_state_dict({**before, **change})
    assert accountant.state_dict() == before


def test_state_of_upstreams_shape() -> None:
    accountant = RdpAccountant(config(), orders=[2, 3.5])
    accountant.compose(EVENT, 2)
    assert accountant.state_dict() == {
        "schema_version": 1,
        "backend": "rdp",
        "config": {
            "target_delta": 1e-5,
            "population_size": 1000,
            "neighboring_relation": "add-or-remove-one",
            "sampling_method": "no-amplification",
            "max_epsilon": None,
        },
        "orders": [2.0, 3.5],
        "compositions": [
            {
                "event": {"noise_multiplier": 1.0, "sample_size": 100, "population_size": 1000},
                "count": 2,
            }
        ],
    }


@pytest.mark.parametrize("orders", [[], [1.0], [2.0, float("inf")], [float("nan")]])
def test_orders_are_finite_and_above_1(orders: list[float]) -> None:
    with pytest.raises(ValueError, match="orders must be finite numbers above 1"):
        RdpAccountant(config(), orders)


def test_a_missing_library_is_said_at_construction(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    with pytest.raises(ImportError, match=r"install flwr\[dp\]"):
        RdpAccountant(config())


def test_config_turns_text_into_members() -> None:
    made = PrivacyConfig(1e-5, 10, "replace-one", "without-replacement")  # type: ignore[arg-type]
    assert made.neighboring_relation is NeighboringRelation.REPLACE_ONE
    assert made.sampling_method is SamplingMethod.WITHOUT_REPLACEMENT


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target_delta": 0.0}, "target_delta"),
        ({"target_delta": 1.0}, "target_delta"),
        ({"target_delta": float("nan")}, "target_delta"),
        ({"population_size": 0}, "population_size"),
        ({"population_size": True}, "population_size"),
        ({"population_size": 1.5}, "population_size"),
        ({"max_epsilon": 0.0}, "max_epsilon"),
        ({"max_epsilon": float("inf")}, "max_epsilon"),
        ({"neighboring_relation": "replace-one"}, "does not go with"),
        ({"sampling_method": "without-replacement"}, "does not go with"),
        ({"sampling_method": "other"}, "other"),
    ],
)
def test_config_refuses_values_out_of_range(change: dict[str, Any], message: str) -> None:
    good = {
        "target_delta": 1e-5,
        "population_size": 10,
        "neighboring_relation": NeighboringRelation.ADD_OR_REMOVE_ONE,
        "sampling_method": SamplingMethod.POISSON,
    }
    PrivacyConfig(**good)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=message):
        PrivacyConfig(**{**good, **change})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((0.0, 1, 1), "noise_multiplier"),
        ((float("inf"), 1, 1), "noise_multiplier"),
        ((1.0, 0, 1), "sample_size"),
        ((1.0, 1, 0), "population_size"),
        ((1.0, 2, 1), "larger than population_size"),
    ],
)
def test_event_refuses_values_out_of_range(values: tuple[Any, Any, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GaussianPrivacyEvent(*values)


def test_serverapp_offers_them_lazily() -> None:
    assert {"GaussianAccountant", "RdpAccountant", "SamplingMethod"} <= set(dir(flwr.serverapp))
    assert flwr.serverapp.RdpAccountant is RdpAccountant
    with pytest.raises(AttributeError, match=r"'flwr\.serverapp' has no attribute 'Nonsense'"):
        _ = flwr.serverapp.Nonsense
