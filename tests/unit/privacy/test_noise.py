"""Gaussian noise: its size, its independence, its seed."""

import numpy as np
import pytest

from flwr.privacy.noise import GaussianNoise


def drawn(noise: GaussianNoise, count: int = 8) -> np.ndarray:
    values = np.zeros(count)
    noise.add_to(values)
    return values


def test_noise_has_the_standard_deviation_asked_for() -> None:
    values = drawn(GaussianNoise(0.3, seed=1), 200_000)
    assert values.std() == pytest.approx(0.3, rel=0.01)
    assert values.mean() == pytest.approx(0.0, abs=0.003)


def test_noise_is_added() -> None:
    values = np.full(1000, 100.0)
    GaussianNoise(1e-3, seed=1).add_to(values)
    assert values.mean() == pytest.approx(100.0, abs=1e-3)


def test_noise_differs_each_time_unless_seeded() -> None:
    assert not np.array_equal(drawn(GaussianNoise(1.0)), drawn(GaussianNoise(1.0)))
    first, second = drawn(GaussianNoise(1.0, seed=7)), drawn(GaussianNoise(1.0, seed=7))
    np.testing.assert_array_equal(first, second)


def test_a_generator_goes_on() -> None:
    noise = GaussianNoise(1.0, seed=7)
    assert not np.array_equal(drawn(noise), drawn(noise))


def test_numpys_global_generator_has_no_part_in_it() -> None:
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    drawn(GaussianNoise(1.0))
    np.testing.assert_array_equal(np.random.get_state()[1], before)
