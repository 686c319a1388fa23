"""Federations whose nodes answer as a case says, and ways to run rounds on them."""

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
from cases import NODES, Case
from fake_grid import FakeGrid, reply

from flwr.app import ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.runtime.inprocess import InProcessPool
from flwr.runtime.runinfo import RunInfo
from flwr.serverapp.strategy import Strategy
from flwr.simulation.grid import SimulationGrid
from flwr.simulation.nodes import NodeIds

Trained = tuple[ArrayRecord | None, MetricRecord | None]


class ShufflingPool(InProcessPool):
    """Handles the tasks that wait in an order of its own, so that replies arrive in it."""

    def __init__(self, app: ClientApp, seed: int | None) -> None:
        super().__init__(app)
        self._order = None if seed is None else random.Random(seed)

    def pump(self, timeout: float | None, seen: int) -> None:
        if self._order is not None:
            self._order.shuffle(self._queue)
        super().pump(timeout, seen)


def nodes_of(case: Case) -> ClientApp:
    """Nodes that train as the case says, and fail if the config says so."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        node = int(context.node_config["partition-id"])
        server_round = int(message.content["config"]["server-round"])
        arrays = case.trained(message.content["arrays"], node, server_round)
        return Message(case.reply(arrays, node), reply_to=message)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        node = int(context.node_config["partition-id"])
        metrics = MetricRecord({"num-examples": node + 1, "loss": node / 4})
        return Message(RecordDict({"metrics": metrics}), reply_to=message)

    return app


@contextmanager
def federation_of(
    case: Case, nodes: int = NODES, arrival: int | None = None
) -> Iterator[SimulationGrid]:
    """A simulation in this process; replies arrive in a random order of the given seed."""
    random.seed(20)
    pool = ShufflingPool(nodes_of(case), arrival)
    try:
        yield SimulationGrid(pool, NodeIds(nodes), RunInfo(run_id=0))
    finally:
        pool.close()


def ask(strategy: Strategy, arrays: ArrayRecord, server_round: int = 1, nodes: int = NODES) -> int:
    """Configure a round, nobody listening; return how many nodes are asked."""
    grid = FakeGrid(range(1, nodes + 1))
    return len(list(strategy.configure_train(server_round, arrays, ConfigRecord(), grid)))


def honest(
    case: Case, model: ArrayRecord, server_round: int = 1, nodes: Iterable[int] = range(NODES)
) -> list[RecordDict]:
    """What nodes answer to a model; in turns it is one of them."""
    return [case.reply(case.trained(model, node, server_round), node) for node in nodes][
        : 1 if case.turns else None
    ]


def alike(case: Case, arrays: ArrayRecord) -> list[RecordDict]:
    """What all nodes answer if none of them changes a model, and none counts more than others."""
    return [case.reply(arrays, node, examples=1, train_loss=0.5) for node in range(NODES)]


def as_replies(answers: Iterable[RecordDict | Error]) -> list[Message]:
    """Replies of the nodes 1, 2, ..., as a grid hands them out."""
    return [reply(node, answer) for node, answer in enumerate(answers, start=1)]


def aggregate(
    case: Case,
    model: ArrayRecord,
    answers: Iterable[RecordDict | Error],
    strategy: Strategy | None = None,
    wrap: Callable[[list[Message]], Iterable[Message]] = list,
) -> Trained:
    """Send a model out and aggregate these answers."""
    strategy = strategy or case.make()
    ask(strategy, model)
    return strategy.aggregate_train(1, wrap(as_replies(answers)))


def aggregated(
    case: Case, model: ArrayRecord, answers: Iterable[RecordDict | Error]
) -> ArrayRecord:
    """The new model of `aggregate`."""
    arrays, _ = aggregate(case, model, answers)
    assert arrays is not None
    return arrays


Bits = dict[str, tuple[str, tuple[int, ...], bytes]]


def bits(arrays: ArrayRecord | None) -> Bits:
    """All that two equal models have in common: dtypes, shapes and bits by name."""
    assert arrays is not None
    values = {name: array.numpy() for name, array in arrays.items()}
    return {name: (str(v.dtype), v.shape, v.tobytes()) for name, v in values.items()}


def kinds(arrays: ArrayRecord) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Dtypes and shapes by name."""
    return {name: kind[:2] for name, kind in bits(arrays).items()}


def finite(arrays: ArrayRecord) -> dict[str, np.ndarray]:
    """Which values are finite, by name."""
    return {
        name: np.isfinite(array.numpy().astype(np.complex128)) for name, array in arrays.items()
    }
