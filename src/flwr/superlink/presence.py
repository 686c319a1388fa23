"""Which nodes are there. Pure: it is told the time, and does no I/O."""

from collections import OrderedDict
from collections.abc import Iterable

AWAY_SECONDS = 60.0  # a node that asked nothing for so long is offline


class Presence:
    """The nodes that are online: with a request open, or whose last one ended not long ago.

    Parameters
    ----------
    online : iterable of int
        Nodes that were online when the hub went down: they count as away from `now`.
    now : float
        Seconds, of any clock that does not jump.
    """

    def __init__(self, online: Iterable[int] = (), now: float = 0.0) -> None:
        self._open: dict[int, int] = {}  # how many requests a node has open
        # since when, oldest first; a plain dict finds its first entry slowly after many removals
        self._away = OrderedDict.fromkeys(online, now)

    def __contains__(self, node_id: int) -> bool:
        return node_id in self._open or node_id in self._away

    def __len__(self) -> int:
        return len(self._open) + len(self._away)

    def online(self) -> list[int]:
        """Return the ids of the nodes that are online, sorted."""
        return sorted([*self._open, *self._away])

    def begin(self, node_id: int) -> bool:
        """Note that a request of a node begins; return whether the node was offline."""
        was_offline = node_id not in self
        self._open[node_id] = self._open.get(node_id, 0) + 1
        self._away.pop(node_id, None)
        return was_offline

    def end(self, node_id: int, now: float) -> None:
        """Note that a request of a node ends."""
        count = self._open.get(node_id, 0)
        if count > 1:
            self._open[node_id] = count - 1
        elif count:  # else it has left meanwhile
            del self._open[node_id]
            self._away[node_id] = now

    def leave(self, node_id: int) -> bool:
        """Note a goodbye; return whether the node was online."""
        was_online = node_id in self
        self._open.pop(node_id, None)
        self._away.pop(node_id, None)
        return was_online

    def expire(self, now: float) -> list[int]:
        """Return the nodes that have been away for too long, who are then offline."""
        gone = []
        for node_id, since in self._away.items():
            if since + AWAY_SECONDS > now:
                break
            gone.append(node_id)
        for node_id in gone:
            del self._away[node_id]
        return gone

    def is_away(self, node_id: int) -> bool:
        """Whether a node is online without a request open."""
        return node_id in self._away

    def away_since(self, moment: float) -> list[int]:
        """Return the nodes that have been away since a moment, or for longer."""
        found = []
        for node_id, since in self._away.items():
            if since > moment:
                break
            found.append(node_id)
        return found

    def deadline(self) -> float | None:
        """Return when `expire` will next have something to say, if ever."""
        for since in self._away.values():
            return since + AWAY_SECONDS
        return None
