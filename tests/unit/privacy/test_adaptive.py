"""The adaptive bound of Andrew et al. 2021, Algorithm 1 and Theorem 1."""

import json
import logging
import math
from pathlib import Path

import numpy as np
import pytest

from flwr.privacy.adaptive import clipped_share, next_bound, split_noise

VECTORS = {
    vector["id"]: vector
    for vector in json.loads((Path(__file__).parents[2] / "data" / "strategies.json").read_text())[
        "vectors"
    ]
}


def test_algorithm_1_grows_the_bound_when_too_many_are_clipped() -> None:
    vector = VECTORS["dp-adaptive-norm-update"]
    bound = vector["params"]["initial_clipping_norm"]
    for step in vector["rounds"]:
        clipped = sum(norm > bound for norm in step["update_norms"])
        bound = next_bound(bound, clipped / 3, vector["params"]["target_quantile"], 0.2)
        assert bound == pytest.approx(step["expected_clipping_norm_after"], rel=vector["rtol"])


@pytest.mark.parametrize("target", [0.1, 0.5, 0.8])
def test_the_bound_converges_to_the_target_quantile(target: float) -> None:
    generator = np.random.default_rng(3)
    norms = generator.lognormal(1.0, 0.5, size=(400, 200))
    bound = 0.01
    for cohort in norms:
        share = clipped_share(float((cohort > bound).sum()), 200, 200, generator.normal(0, 10))
        bound = next_bound(bound, share, target, 0.2)
    assert bound == pytest.approx(float(np.quantile(norms, 1 - target)), rel=0.1)


@pytest.mark.parametrize(("share", "limit"), [(0.0, 1e-150), (1.0, 1e150)])
def test_a_bound_never_leaves_the_lengths_that_norms_can_have(
    share: float, limit: float, caplog: pytest.LogCaptureFixture
) -> None:
    assert next_bound(1.0, share, 0.5, 1e4) == limit
    assert next_bound(limit, share, 0.5, 1.0) == limit
    assert next_bound(1e300, 1.0, 0.0, 1e300) == 1e150
    assert "A learning rate (clip_norm_lr) below 10000 moves it less" in caplog.text


def test_share_counts_a_missing_reply_as_half_clipped() -> None:
    assert clipped_share(3, 4, 4, 0.0) == 0.75
    assert clipped_share(2, 2, 4, 0.0) == 0.75
    assert clipped_share(3, 4, 4, -1.0) == 0.5


@pytest.mark.parametrize("case", VECTORS["dp-adaptive-noise-split"]["cases"])
def test_theorem_1_splits_the_noise(case: dict[str, float]) -> None:
    stddev, effective = split_noise(
        case["noise_multiplier"], int(case["num_sampled_clients"]), case["clipped_count_stddev_in"]
    )
    assert stddev == case["clipped_count_stddev"]
    assert effective == pytest.approx(case["effective_noise_multiplier"], rel=1e-12)


def test_hardly_any_noise_is_split_without_overflow() -> None:
    assert split_noise(1e-200, 100, None) == (5.0, 1e-200)


def test_without_noise_the_count_has_none_either() -> None:
    assert split_noise(0.0, 100, None) == (0.0, 0.0)


def test_a_count_that_costs_everything_is_refused_with_a_way_out() -> None:
    with pytest.raises(ValueError, match="less than twice clipped_count_stddev.*increase"):
        split_noise(2.0, 20, None)


def test_a_count_that_costs_most_of_it_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "flwr"):
        _, effective = split_noise(1.0, 20, 0.55)
    assert effective >= 2.0
    assert "clipped_count_stddev above 0.55 needs less" in caplog.text
    caplog.clear()
    split_noise(1.0, 20, 1 / math.sqrt(2))
    assert not caplog.records
