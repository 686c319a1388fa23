"""Tests of how examples are dealt."""

import numpy as np
import pytest

from quickstart_xgboost.partition import FEWEST, deal

LABELS = np.arange(1000) % 10


@pytest.mark.parametrize("num_partitions", [1, 10, 200])
def test_each_example_is_dealt_once(num_partitions):
    parts = deal(LABELS, num_partitions, alpha=0.5, seed=0)
    assert min(len(part) for part in parts) >= FEWEST
    assert sorted(np.concatenate(parts)) == list(range(len(LABELS)))


def test_too_many_clients_are_refused():
    with pytest.raises(ValueError, match="not enough"):
        deal(LABELS, 201, alpha=0.5, seed=0)
