"""Who makes a call: the one place where callers are told apart."""

from flwr.errors import RefusedError
from flwr.store.hub import HubStore, token_hash
from flwr.superlink.waiting import superseded
from flwr.transport.call import Access, Caller, Refusal

MOST_REMEMBERED = 100_000  # callers whose tokens need not be looked up


class Entrance:
    """Authenticates callers for all services.

    Parameters
    ----------
    store : HubStore
        Knows nodes by the hash of their secret, and app processes by that of their token.
    """

    def __init__(self, store: HubStore) -> None:
        self._store = store
        self._nodes: dict[str, int] = {}

    async def authenticate(self, rule: Access, token: str, peer: str) -> Caller:
        """Return who calls.

        Raises
        ------
        RefusedError
            If the rule does not let the caller in.
        """
        hashed = token_hash(token) if token else ""
        match rule:
            case Access.OPEN:
                return Caller(rule, address=peer, token_hash=hashed)
            case Access.NODE:
                node_id = await self._node(hashed)
                return Caller(rule, node_id=node_id, address=peer, token_hash=hashed)
            case Access.APP:
                app = await self._store.app_of(hashed) if hashed else None
                if app is None:
                    raise _unknown("No app process has that token.")
                if not app.newest:
                    raise superseded(f"run {app.run_id}")
                return Caller(rule, run_id=app.run_id, attempt=app.attempt, address=peer)
        raise _unknown("That is not for this hub's callers.")

    async def _node(self, hashed: str) -> int:
        node_id = self._nodes.get(hashed)
        if node_id is None:
            row = await self._store.node_of(hashed) if hashed else None
            if row is None:
                raise _unknown("No node has that secret: it has to say hello first.")
            if len(self._nodes) >= MOST_REMEMBERED:
                self._nodes.clear()
            node_id = self._nodes[hashed] = row.node_id
        return node_id


def _unknown(why: str) -> RefusedError:
    return RefusedError(Refusal.NOT_ALLOWED, why)
