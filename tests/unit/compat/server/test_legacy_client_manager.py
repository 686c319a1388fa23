"""`SimpleClientManager` and the manager of a grid's nodes: who is there, and who is drawn."""

import random
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pytest
from counting import DirectClient, GridHere, managing

from flwr.compat.clients.grid_clients import GridClientManager, Membership
from flwr.errors import NotEnoughNodesError
from flwr.server import SimpleClientManager
from flwr.server.client_manager import ClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.server.criterion import Criterion


class Named(Criterion):
    """Selects clients by their names."""

    def __init__(self, *names: str) -> None:
        self.names = names

    def select(self, client: ClientProxy) -> bool:
        return client.cid in self.names


def of_names(*names: int) -> SimpleClientManager:
    return managing(*(DirectClient(str(name)) for name in names))


def of_nodes(*nodes: int) -> SimpleClientManager:
    return GridClientManager(GridHere(nodes))


BOTH = pytest.mark.parametrize("made", [of_names, of_nodes])
Made = Callable[..., SimpleClientManager]


def test_clients_register_once() -> None:
    manager = SimpleClientManager()
    first, same = DirectClient("a"), DirectClient("a")
    assert manager.register(first)
    assert not manager.register(same)
    assert manager.all() == manager.clients == {"a": first}
    manager.unregister(DirectClient("unknown"))
    assert len(manager) == manager.num_available() == 1
    manager.unregister(first)
    assert len(manager) == 0


@BOTH
def test_clients_are_drawn_without_replacement_by_the_global_generator(made: Made) -> None:
    manager = made(*range(1, 11))
    random.seed(5)
    drawn = [client.cid for client in manager.sample(4)]
    assert len(set(drawn)) == 4
    random.seed(5)
    assert [client.cid for client in manager.sample(4)] == drawn
    assert {client.cid for client in manager.sample(10)} == set(manager.all())
    assert manager.sample(0) == []
    with pytest.raises(ValueError, match="[Ss]ample"):
        manager.sample(-1)


@BOTH
def test_too_few_clients_give_none(made: Made, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "flwr")
    manager = made(1, 2)
    assert manager.sample(3, min_num_clients=1) == []
    assert (
        "Sampling failed: number of available clients (2) is less than number of requested "
        "clients (3)."
    ) in caplog.text


@BOTH
def test_a_criterion_selects_after_the_wait(made: Made) -> None:
    manager = made(1, 2, 3)
    assert [client.cid for client in manager.sample(1, criterion=Named("2"))] == ["2"]
    assert manager.sample(2, criterion=Named("2")) == []


@BOTH
def test_waiting_ends_with_the_time(made: Made) -> None:
    manager = made(1)
    assert manager.wait_for(1)
    assert not manager.wait_for(2, timeout=0)


def test_waiting_ends_when_a_client_comes() -> None:
    manager = SimpleClientManager()
    drawn: list[ClientProxy] = []
    waiting = threading.Thread(target=lambda: drawn.extend(manager.sample(2)))
    waiting.start()
    manager.register(DirectClient("a"))
    manager.register(DirectClient("b"))
    waiting.join(30)
    assert {client.cid for client in drawn} == {"a", "b"}


def test_the_nodes_of_a_grid_are_its_clients() -> None:
    grid = GridHere([7, 3])
    manager = GridClientManager(grid)
    assert list(manager.all()) == ["3", "7"]
    (client,) = manager.sample(1, criterion=Named("7"))
    assert (client.cid, client.node_id, client.properties) == ("7", 7, {})
    assert client is manager.all()["7"]
    grid.nodes.append(11)
    assert manager.num_available() == 3


class Noting(ClientManager):
    """A manager of the user's own, which notes who comes and goes."""

    def __init__(self) -> None:
        self.noted: list[str] = []
        self.changed = threading.Condition()

    def register(self, client: ClientProxy) -> bool:
        with self.changed:
            self.noted.append(f"+{client.cid}")
            self.changed.notify()
        return True

    def unregister(self, client: ClientProxy) -> None:
        with self.changed:
            self.noted.append(f"-{client.cid}")
            self.changed.notify()

    def num_available(self) -> int:
        raise NotImplementedError

    def all(self) -> dict[str, ClientProxy]:
        raise NotImplementedError

    def wait_for(self, num_clients: int, timeout: int) -> bool:
        raise NotImplementedError

    def sample(
        self, num_clients: int, min_num_clients: int | None = None, criterion: object = None
    ) -> list[ClientProxy]:
        raise NotImplementedError


def test_a_manager_of_ones_own_is_told_who_comes_and_goes() -> None:
    grid, manager = GridHere([1, 2]), Noting()
    with Membership(grid, manager):
        assert manager.noted == ["+1", "+2"]
        grid.nodes = [2, 3]
        with manager.changed:
            assert manager.changed.wait_for(lambda: len(manager.noted) == 4, 30)
    assert manager.noted[2:] == ["-1", "+3"]


class Waiting(GridHere):
    """Grows to at most four nodes when it is waited for."""

    def wait_nodes(self, count: int) -> None:
        if count > 4:
            raise NotEnoughNodesError(f"{count} nodes are asked for", hint="Lower min_nodes.")
        self.nodes = list(range(count))


def in_step(grid: Waiting, manager: SimpleClientManager) -> AbstractContextManager[object]:
    return nullcontext() if isinstance(manager, GridClientManager) else Membership(grid, manager)


@pytest.mark.parametrize("of_the_user", [True, False])
def test_a_wait_for_more_nodes_than_there_will_be_ends_at_once(of_the_user: bool) -> None:
    grid = Waiting([1, 2])
    manager = SimpleClientManager() if of_the_user else GridClientManager(grid)
    with in_step(grid, manager):
        assert manager.wait_for(2)
        assert len(manager.sample(3)) == 3
        with pytest.raises(NotEnoughNodesError, match="^5 nodes are asked for\nLower min_avail"):
            manager.sample(1, min_num_clients=5)
    assert not manager.wait_for(5, timeout=0)
