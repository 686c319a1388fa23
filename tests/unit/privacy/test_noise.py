"""Gaussian noise: its size, its seed, and what is kept of it."""

import json

import numpy as np
import pytest

from flwr.privacy.noise import GaussianNoise


def test_noise_has_the_standard_deviation_asked_for() -> None:
    values = GaussianNoise(seed=1).draw(200_000, 0.3)
    assert values.dtype == np.float64
    assert values.std() == pytest.approx(0.3, rel=0.01)
    assert values.mean() == pytest.approx(0.0, abs=0.003)


def test_noise_differs_each_time_unless_seeded() -> None:
    assert not np.array_equal(GaussianNoise().draw(8, 1.0), GaussianNoise().draw(8, 1.0))
    first, second = GaussianNoise(seed=7).draw(8, 1.0), GaussianNoise(seed=7).draw(8, 1.0)
    np.testing.assert_array_equal(first, second)


def test_numpys_global_generator_has_no_part_in_it() -> None:
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    GaussianNoise().draw(8, 1.0)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_a_seeded_generator_goes_on_from_its_state() -> None:
    noise = GaussianNoise(seed=7)
    noise.draw(3, 1.0)
    state = json.loads(json.dumps(noise.state()))
    expected = noise.draw(5, 1.0)
    other = GaussianNoise(seed=7)
    other.restore(state)
    np.testing.assert_array_equal(other.draw(5, 1.0), expected)


def test_unpredictable_noise_is_never_drawn_again_after_a_restart() -> None:
    noise = GaussianNoise()
    assert noise.state() is None
    noise.restore(None)
