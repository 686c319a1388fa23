"""Calibration of the Gaussian mechanism: classical (Dwork & Roth) and exact (Balle & Wang)."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr.privacy.calibration import (
    analytic_stddev,
    classical_stddev,
    gaussian_delta,
    gaussian_epsilon,
)

DATA = Path(__file__).parents[2] / "data"
CASES = json.loads((DATA / "privacy.json").read_text())["calibration"]
LOCAL = next(
    vector
    for vector in json.loads((DATA / "strategies.json").read_text())["vectors"]
    if vector["id"] == "localdp-sigma"
)


@pytest.mark.parametrize("case", CASES)
def test_both_calibrations(case: dict[str, float]) -> None:
    level = case["epsilon"], case["delta"]
    assert classical_stddev(1.0, *level) == pytest.approx(case["classical_sigma"], rel=1e-12)
    assert analytic_stddev(1.0, *level) == pytest.approx(case["analytic_sigma"], rel=1e-12)


@pytest.mark.parametrize("case", LOCAL["cases"])
def test_classical_noise_grows_with_the_sensitivity(case: dict[str, float]) -> None:
    stddev = classical_stddev(case["sensitivity"], case["epsilon"], case["delta"])
    assert stddev == pytest.approx(case["std"], rel=LOCAL["rtol"])


@given(st.floats(1e-3, 200.0), st.floats(1e-12, 0.1), st.floats(1e-6, 1e6))
def test_analytic_noise_is_just_enough(epsilon: float, delta: float, sensitivity: float) -> None:
    mu = sensitivity / analytic_stddev(sensitivity, epsilon, delta)
    assert gaussian_delta(mu, epsilon) <= delta * (1 + 1e-9)
    assert gaussian_delta(1.001 * mu, epsilon) > delta


def test_classical_noise_is_too_little_for_a_large_epsilon() -> None:
    assert gaussian_epsilon(1 / classical_stddev(1.0, 20.0, 1e-5), 1e-5) == pytest.approx(
        25.4, 0.01
    )


@given(st.floats(1e-2, 100.0), st.floats(1e-12, 1e-3))
def test_epsilon_and_delta_are_each_others_inverse(mu: float, delta: float) -> None:
    epsilon = gaussian_epsilon(mu, delta)
    assert gaussian_delta(mu, epsilon) <= delta * (1 + 1e-9)
    if epsilon > 1e-6:
        assert gaussian_delta(mu, epsilon * (1 - 1e-6)) > delta


def test_the_ends_of_the_scale() -> None:
    assert analytic_stddev(0.0, 1.0, 1e-5) == 0.0
    assert gaussian_delta(0.0, 1.0) == 0.0
    assert gaussian_epsilon(0.0, 1e-5) == 0.0
    assert gaussian_delta(1e-3, 1.0) == 0.0
    assert gaussian_delta(1e3, 0.0) == 1.0
    assert math.isfinite(gaussian_epsilon(1e4, 1e-12))
