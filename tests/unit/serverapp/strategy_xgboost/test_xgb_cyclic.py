"""FedXgbCyclic: whose turn it is, and what is handed on."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from fake_grid import FakeGrid, arrays_of, content, echo, replies

from flwr.app import ConfigRecord, Error, MetricRecord
from flwr.serverapp.strategy import FedXgbCyclic
from flwr.serverapp.strategy.fedxgb_cyclic import LastArrays
from flwr.serverapp.strategy.replies import ReplyReader
from flwr.simulation.nodes import NodeIds


def asked(strategy: FedXgbCyclic, phase: str, server_round: int, grid: FakeGrid) -> list[int]:
    configure: Callable[..., Any] = getattr(strategy, f"configure_{phase}")
    messages = list(configure(server_round, arrays_of([1.0]), ConfigRecord(), grid))
    assert {m.metadata.message_type for m in messages} <= {phase}
    return [m.metadata.dst_node_id for m in messages]


def test_nodes_take_turns_in_training_and_evaluation_alike() -> None:
    strategy, grid = FedXgbCyclic(), FakeGrid({30, 4, 17})
    for server_round, node in enumerate([4, 17, 30, 4, 17], start=1):
        assert asked(strategy, "train", server_round, grid) == [node]
        assert asked(strategy, "evaluate", server_round, grid) == [node]
    assert strategy.registered_nodes == {4: 0, 17: 1, 30: 2}


def test_nodes_that_come_later_come_after_the_others() -> None:
    strategy, grid = FedXgbCyclic(), FakeGrid({9, 8})
    assert asked(strategy, "train", 1, grid) == [8]
    grid.node_ids |= {1, 2}
    assert [asked(strategy, "train", r, grid) for r in range(5, 9)] == [[8], [9], [1], [2]]
    grid.node_ids -= {9}
    assert [asked(strategy, "train", r, grid) for r in range(10, 13)] == [[8], [1], [2]]


def test_the_order_of_nodes_is_part_of_the_state() -> None:
    strategy, grid = FedXgbCyclic(), FakeGrid({9, 8})
    asked(strategy, "train", 1, grid)
    grid.node_ids |= {1, 2}
    asked(strategy, "train", 2, grid)
    resumed = FedXgbCyclic()
    resumed.load_state_dict(strategy.state_dict())
    assert [asked(resumed, "train", r, grid) for r in range(3, 7)] == [[1], [2], [8], [9]]


def test_the_order_of_a_simulation_is_that_of_its_partitions() -> None:
    strategy, nodes = FedXgbCyclic(), NodeIds(1_000_000)
    grid = FakeGrid(())
    grid.get_node_ids = lambda: nodes  # type: ignore[method-assign]
    for server_round in (1, 2, 1_000_001):
        expected = nodes.at((server_round - 1) % 1_000_000)
        assert asked(strategy, "train", server_round, grid) == [expected]
    assert strategy.registered_nodes == {}


@pytest.mark.parametrize(("train", "evaluate"), [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
def test_a_fraction_of_zero_skips_its_phase_only(train: float, evaluate: float) -> None:
    strategy = FedXgbCyclic(fraction_train=train, fraction_evaluate=evaluate)
    assert len(asked(strategy, "train", 1, FakeGrid({1, 2}))) == train
    assert len(asked(strategy, "evaluate", 1, FakeGrid({1, 2}))) == evaluate


@pytest.mark.parametrize("name", ["fraction_train", "fraction_evaluate"])
def test_other_fractions_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} can only be set to 1.0 or 0.0"):
        FedXgbCyclic(**{name: 0.5})


def test_the_model_is_handed_on_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    seen: list[float] = []

    def answer(message: Any) -> Any:
        if message.metadata.message_type == "evaluate":
            return content(weight=2, auc=0.5)
        [values] = message.content["arrays"].to_numpy_ndarrays()
        seen.append(values[0])
        return content(arrays_of([values[0] + message.metadata.dst_node_id]), 3, auc=0.75)

    result = FedXgbCyclic().start(FakeGrid({1, 10}, answer), arrays_of([0.0]), 3)
    assert seen == [0.0, 1.0, 11.0]
    assert result.arrays == arrays_of([12.0])
    assert result.train_metrics_clientapp[3] == MetricRecord({"auc": 0.75})
    assert result.evaluate_metrics_clientapp[3] == MetricRecord({"auc": 0.5})
    assert "configure_train: Sampled 1 nodes (out of 2)" in caplog.text
    assert "configure_evaluate: Sampled 1 nodes (out of 2)" in caplog.text


def test_the_reply_itself_is_passed_on() -> None:
    answer = content(arrays_of([1.0]))
    arrays, _ = FedXgbCyclic().aggregate_train(1, replies(answer))
    assert arrays is answer["arrays"]


@pytest.mark.parametrize("answer", [Error(1, "no data"), content(arrays_of([1.0]), 0)])
def test_a_turn_that_comes_to_nothing_keeps_the_model(answer: Any) -> None:
    assert FedXgbCyclic().aggregate_train(1, replies(answer)) == (None, None)


def test_the_last_arrays_stay_when_parts_are_merged() -> None:
    reader = ReplyReader("test", "num-examples", with_arrays=True)
    first, second = LastArrays(), LastArrays()
    first.add(reader.update(1, content(arrays_of([1.0]))))
    first.merge(second)
    second.add(reader.update(2, content(arrays_of([2.0]))))
    first.merge(second)
    assert second.finish() is None
    assert first.finish() == arrays_of([2.0])


def test_each_node_may_have_its_own_config() -> None:
    class Own(FedXgbCyclic):
        def configure_node(self, node_id: int, config: ConfigRecord) -> ConfigRecord:
            config["id"] = node_id
            return config

    grid = FakeGrid({5, 6}, echo())
    [message] = Own().configure_train(2, arrays_of([1.0]), ConfigRecord(), grid)
    assert message.content["config"] == {"id": 6, "server-round": 2}
