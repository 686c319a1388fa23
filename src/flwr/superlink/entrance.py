"""Who makes a call: the one place where callers are told apart."""

from flwr.errors import RefusedError
from flwr.store.hub import token_hash
from flwr.store.hubrecords import AppRow
from flwr.superlink.hub import Hub
from flwr.superlink.waiting import superseded
from flwr.transport.call import Access, Caller, Refusal

MOST_REMEMBERED = 100_000  # callers whose tokens need not be looked up


class Entrance:
    """Authenticates callers for all services.

    Parameters
    ----------
    hub : Hub
        Knows the newest attempts of runs. Its store knows nodes by the hash of their secret, and
        app processes by that of their token.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._store = hub.store
        self._nodes: dict[str, int] = {}
        self._apps: dict[str, AppRow] = {}
        hub.at_end_of_run(self._run_ended)
        hub.at_end_of_node(self._node_forgotten)

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
                app = await self._app(hashed)
                return Caller(rule, run_id=app.run_id, attempt=app.attempt, address=peer)
        raise _unknown("That is not for this hub's callers.")

    async def _app(self, hashed: str) -> AppRow:
        app = self._apps.get(hashed)
        if app is None:
            app = await self._store.app_of(hashed) if hashed else None
            if app is None:
                raise _unknown("No app process has that token.")
            if app.newest and app.run_id in self._hub.courses:
                self._apps[hashed] = app
        if not app.newest or self._hub.is_superseded(app.run_id, app.attempt):
            raise superseded(f"run {app.run_id}")
        return app

    def _run_ended(self, run_id: int, *, stopped: bool) -> None:
        self._apps = {key: app for key, app in self._apps.items() if app.run_id != run_id}

    def remember(self, hashed: str, node_id: int) -> None:
        """Take note of a node's secret, by its hash, so that it need not be looked up."""
        if len(self._nodes) >= MOST_REMEMBERED:
            self._nodes.clear()
        self._nodes[hashed] = node_id

    def _node_forgotten(self, node_id: int) -> None:
        self._nodes = {key: known for key, known in self._nodes.items() if known != node_id}

    async def _node(self, hashed: str) -> int:
        node_id = self._nodes.get(hashed)
        if node_id is None:
            row = await self._store.node_of(hashed) if hashed else None
            if row is None:
                raise _unknown("No node has that secret: it has to say hello first.")
            node_id = row.node_id
            self.remember(hashed, node_id)
        return node_id


def _unknown(why: str) -> RefusedError:
    return RefusedError(Refusal.NOT_ALLOWED, why)
