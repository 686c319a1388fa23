"""Drawing a cohort, and waiting for nodes."""

import json
import logging
import random
from collections.abc import Iterator, Set
from pathlib import Path

import pytest
from fake_grid import FakeGrid

from flwr.errors import NotEnoughNodesError
from flwr.serverapp.strategy import sampling
from flwr.serverapp.strategy.sampling import sample_nodes

DATA = Path(__file__).parents[2] / "data" / "strategies.json"
VECTORS = json.loads(DATA.read_text())["vectors"]
[CASES] = [vector["cases"] for vector in VECTORS if vector["id"] == "sample-size"]


class VirtualIds(Set[int]):
    """A million ids that must not be listed."""

    def __len__(self) -> int:
        return 1_000_000

    def __contains__(self, node_id: object) -> bool:
        raise AssertionError

    def __iter__(self) -> Iterator[int]:
        raise AssertionError("the ids were listed")

    def at(self, index: int) -> int:
        return 5 * index + 3


class VirtualGrid(FakeGrid):
    def get_node_ids(self) -> VirtualIds:
        return VirtualIds()


@pytest.mark.parametrize("case", CASES)
def test_the_cohort_is_a_fraction_but_not_less_than_the_minimum(case: dict[str, float]) -> None:
    grid = FakeGrid(range(int(case["available"])))
    cohort, available = sample_nodes(grid, case["fraction"], int(case["minimum"]), 2)
    assert len(cohort) == len(set(cohort)) == case["sample"]
    assert available == case["available"]


def test_the_global_seed_decides_whatever_the_order_of_the_ids() -> None:
    cohorts = []
    for ids in ([5, 1, 9, 7, 3, 8], [8, 3, 9, 1, 5, 7]):
        random.seed(11)
        cohorts.append(sample_nodes(FakeGrid(ids), 0.5, 2, 2)[0])
    assert cohorts[0] == cohorts[1]
    assert set(cohorts[0]) <= {1, 3, 5, 7, 8, 9}


def test_virtual_ids_are_drawn_without_listing_them() -> None:
    cohort, available = sample_nodes(VirtualGrid(()), 0.0001, 2, 2)
    assert available == 1_000_000
    assert len(set(cohort)) == 100
    assert all(node_id % 5 == 3 for node_id in cohort)


def test_nodes_are_asked_in_the_order_of_their_ids() -> None:
    """Replies that are streamed in this order are summed as those of a list are."""

    class Turned(VirtualIds):
        def at(self, index: int) -> int:
            return 1_000_000 - index

    class TurnedGrid(FakeGrid):
        def get_node_ids(self) -> Turned:
            return Turned()

    cohort, _ = sample_nodes(TurnedGrid(()), 0.0001, 2, 2)
    assert cohort == sorted(cohort)


def test_no_nodes_may_be_asked_for() -> None:
    assert sample_nodes(FakeGrid({1, 2}), 0.1, 0, 0) == ([], 2)


def test_a_plain_grid_is_polled_until_the_nodes_are_there(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(sampling, "POLL_SECONDS", 0.0)

    class Growing(FakeGrid):
        def get_node_ids(self) -> set[int]:
            self.node_ids.add(len(self.node_ids))
            return set(self.node_ids)

    cohort, available = sample_nodes(Growing({0, 1}), 1.0, 2, 5)
    assert (sorted(cohort), available) == ([0, 1, 2, 3, 4], 5)
    assert caplog.messages == [
        f"Waiting for nodes to connect: {n} connected (minimum required: 5)." for n in (3, 4)
    ]


def test_a_grid_that_knows_when_nodes_connect_is_asked_to_wait() -> None:
    class Waiting(FakeGrid):
        def wait_nodes(self, count: int) -> None:
            self.node_ids.update(range(count))

    grid = Waiting({0})
    assert sample_nodes(grid, 0.5, 3, 4) == (sorted(grid.node_ids), 4) or len(grid.node_ids) == 4


def test_a_fixed_federation_that_is_too_small_fails_at_once() -> None:
    class Fixed(FakeGrid):
        def wait_nodes(self, count: int) -> None:
            raise NotEnoughNodesError(f"{count} nodes are asked for, there are 2")

    with pytest.raises(NotEnoughNodesError, match="5 nodes are asked for"):
        sample_nodes(Fixed({1, 2}), 1.0, 2, 5)
    with pytest.raises(NotEnoughNodesError, match="4 nodes are asked for"):
        sample_nodes(Fixed({1, 2}), 2.0, 2, 2)


def test_a_wait_nodes_of_none_counts_as_absent() -> None:
    grid = FakeGrid({1, 2})
    grid.wait_nodes = None  # type: ignore[attr-defined]
    assert sorted(sample_nodes(grid, 1.0, 2, 2)[0]) == [1, 2]
