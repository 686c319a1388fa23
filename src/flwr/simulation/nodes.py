"""The virtual nodes of a simulation: any number of ids, none of which is stored."""

from collections.abc import Iterable, Iterator, Set

_FACTOR = 0x9E3779B97F4A7C15  # odd, so multiplication modulo 2^64 can be undone
_INVERSE = pow(_FACTOR, -1, 1 << 64)
_MASK = (1 << 64) - 1


class NodeIds(Set[int]):
    """The ids of ``count`` virtual nodes: a set that is computed, not held.

    The node of index ``i`` has partition ``i``. Ids are 64-bit numbers that look random, are the
    same in every run, and are given out in the order of their indices.

    Parameters
    ----------
    count : int
        How many nodes there are.
    """

    __slots__ = ("_count",)

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[int]:
        return map(self._id, range(self._count))

    def __contains__(self, node_id: object) -> bool:
        return isinstance(node_id, int) and self.index(node_id) is not None

    def __repr__(self) -> str:
        return f"NodeIds({self._count})"

    def at(self, index: int) -> int:
        """Return the id of the node of an index.

        Raises
        ------
        IndexError
            If there is no such node.
        """
        if not 0 <= index < self._count:
            raise IndexError(f"node index {index} is not in 0..{self._count - 1}")
        return self._id(index)

    def index(self, node_id: int) -> int | None:
        """Return the index of a node, ``None`` if no node has this id."""
        if not 0 <= node_id <= _MASK:
            return None
        index = (((node_id ^ (node_id >> 32)) * _INVERSE) & _MASK) - 1
        return index if 0 <= index < self._count else None

    def copy(self) -> set[int]:
        """Return the ids as a plain set, which takes memory for each."""
        return set(self)

    def union(self, *others: Iterable[int]) -> set[int]:
        """Return the ids that are here or in others."""
        return self.copy().union(*others)

    def intersection(self, *others: Iterable[int]) -> set[int]:
        """Return the ids that are here and in all others."""
        return self.copy().intersection(*others)

    def difference(self, *others: Iterable[int]) -> set[int]:
        """Return the ids that are here and in none of the others."""
        return self.copy().difference(*others)

    def symmetric_difference(self, other: Iterable[int]) -> set[int]:
        """Return the ids that are here or in the other, not in both."""
        return self.copy().symmetric_difference(other)

    def issubset(self, other: Iterable[int]) -> bool:
        """Return whether the other has all ids of these."""
        return self.copy().issubset(other)

    def issuperset(self, other: Iterable[int]) -> bool:
        """Return whether these have all ids of the other."""
        return all(node_id in self for node_id in other)

    @staticmethod
    def _id(index: int) -> int:
        mixed = ((index + 1) * _FACTOR) & _MASK
        return mixed ^ (mixed >> 32)  # its own inverse

    @classmethod
    def _from_iterable(cls, it: Iterable[int]) -> set[int]:  # type: ignore[override]
        return set(it)  # what `&`, `|` and `-` give
