"""The state of a strategy: what it holds, and that rounds go on from it as if never stopped."""

import copy
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fake_grid import FakeGrid, content

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg

NODES = range(1, 7)


def model() -> ArrayRecord:
    values = np.random.default_rng(0).standard_normal((3, 4), dtype=np.float32)
    return ArrayRecord([values, values[0].astype(np.float64), np.array([3])])


def train(message: Message) -> RecordDict:
    """What a node makes of a model: it depends on the model, the node and the round."""
    node, config = message.metadata.dst_node_id, message.content["config"]
    if message.metadata.message_type == "evaluate":
        return content(weight=node, loss=node / 3)
    arrays = message.content["arrays"].to_numpy_ndarrays()
    moved = [np.add(a, node * config["server-round"], dtype=a.dtype) for a in arrays]
    return content(ArrayRecord(moved), node, train_loss=0.5 + node / 8)


def run(
    strategy: FedAvg,
    rounds: int,
    evaluate: Callable[[int, ArrayRecord], MetricRecord | None] | None = None,
) -> Any:
    return strategy.start(
        FakeGrid(NODES, train),
        model(),
        num_rounds=rounds,
        train_config=ConfigRecord({"lr": 1.0}),
        evaluate_fn=evaluate,
    )


class Decaying(FedAvg):
    """Changes the config that all rounds share, and keeps a number of its own."""

    seen = 0

    def configure_train(self, server_round, arrays, config, grid):  # type: ignore[no-untyped-def]
        config["lr"] = float(config["lr"]) * 0.5
        self.seen += len(config)
        return super().configure_train(server_round, arrays, config, grid)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "seen": self.seen}

    def load_state_dict(self, state) -> None:  # type: ignore[no-untyped-def]
        super().load_state_dict(state)
        self.seen = state["seen"]


def halfway(strategy: FedAvg, rounds: int, at: int) -> tuple[Any, dict[str, Any], object]:
    """Run all rounds; return the result, and the states of strategy and sampling in between."""
    saved: dict[str, Any] = {}
    sampling: list[object] = []

    def evaluate(server_round: int, _: ArrayRecord) -> MetricRecord:
        if server_round == at:
            saved.update(strategy.state_dict())
            sampling.append(random.getstate())
        return MetricRecord({"round": server_round})

    return run(strategy, rounds, evaluate), saved, sampling[0]


@pytest.mark.parametrize("cls", [FedAvg, Decaying])
@pytest.mark.parametrize("at", [0, 2, 4])
def test_rounds_go_on_from_a_state_as_if_never_stopped(cls: type[FedAvg], at: int) -> None:
    whole, state, sampling = halfway(cls(fraction_train=0.5), 5, at)
    before = copy.deepcopy(state)
    other = cls(fraction_train=0.5)
    other.load_state_dict(state)
    random.setstate(sampling)  # type: ignore[arg-type]
    asked: list[int] = []
    rest = other.start(
        FakeGrid(NODES, train),
        ArrayRecord([np.zeros(1)]),
        num_rounds=5,
        evaluate_fn=lambda number, _: asked.append(number),
    )
    assert rest.arrays == whole.arrays
    assert rest.train_metrics_clientapp == whole.train_metrics_clientapp
    assert rest.evaluate_metrics_clientapp == whole.evaluate_metrics_clientapp
    assert asked == [*([0] if at == 0 else []), *range(at + 1, 6)]
    assert state == before


def test_a_state_is_plain_data_that_later_rounds_do_not_change() -> None:
    strategy = Decaying()
    _, state, _ = halfway(strategy, 3, 2)
    rounds = state["rounds"]
    assert (rounds["round"], rounds["aggregated"], state["seen"]) == (2, True, 2)
    assert rounds["train_config"] == {"lr": 0.25}
    assert rounds["evaluate_config"] == {}
    assert rounds["evaluate_metrics_serverapp"] == {0: {"round": 0}, 1: {"round": 1}}
    assert list(rounds["train_metrics_clientapp"]) == [1, 2]
    assert strategy.state_dict()["rounds"]["round"] == 3


def test_a_state_in_which_all_rounds_are_done_gives_their_result() -> None:
    strategy = FedAvg()
    whole = run(strategy, 2)
    other = FedAvg()
    other.load_state_dict(strategy.state_dict())
    rest = run(other, 2)
    assert (rest.arrays, rest.train_metrics_clientapp) == (
        whole.arrays,
        whole.train_metrics_clientapp,
    )


def test_a_second_start_begins_anew() -> None:
    strategy = FedAvg()
    run(strategy, 2)
    assert list(run(strategy, 2).train_metrics_clientapp) == [1, 2]


def test_a_result_without_a_new_model_stays_without_one() -> None:
    strategy = FedAvg(fraction_train=0.0)
    run(strategy, 1)
    other = FedAvg(fraction_train=0.0)
    other.load_state_dict(strategy.state_dict())
    assert len(run(other, 2).arrays) == 0


def test_the_state_before_any_round_starts_them() -> None:
    strategy = FedAvg()
    strategy.load_state_dict(FedAvg().state_dict())
    assert list(run(strategy, 1).train_metrics_clientapp) == [1]


def test_a_state_of_something_else_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"no state of FedAvg.*\['rounds', 'seen'\], not \['rounds"
    ):
        FedAvg().load_state_dict(Decaying().state_dict())
