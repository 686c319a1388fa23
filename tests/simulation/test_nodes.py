import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr.simulation.nodes import NodeIds


@given(st.integers(1, 10**6), st.data())
def test_index_undoes_at(count: int, data: st.DataObject) -> None:
    ids = NodeIds(count)
    index = data.draw(st.integers(0, count - 1))
    node_id = ids.at(index)
    assert 0 <= node_id < 1 << 64
    assert ids.index(node_id) == index
    assert node_id in ids


@given(st.integers(1, 1000), st.integers(0, (1 << 64) - 1))
def test_only_given_ids_are_members(count: int, node_id: int) -> None:
    ids = NodeIds(count)
    assert (node_id in ids) == (node_id in set(ids))


def test_behaves_as_a_set() -> None:
    ids = NodeIds(100)
    assert len(ids) == len(set(ids)) == 100
    assert ids == set(ids)
    assert ids - {ids.at(0)} == set(ids) - {ids.at(0)}
    assert list(ids) == [ids.at(i) for i in range(100)]
    assert "x" not in ids
    assert -1 not in ids
    assert 1 << 64 not in ids


@pytest.mark.parametrize("index", [-1, 3])
def test_at_refuses_a_foreign_index(index: int) -> None:
    with pytest.raises(IndexError, match="0..2"):
        NodeIds(3).at(index)


def test_a_million_nodes_cost_nothing() -> None:
    ids = NodeIds(10**6)
    assert ids.at(999_999) in ids
    assert not hasattr(ids, "__dict__")
