"""What every strategy does over several rounds, and in the hands of its users."""

import logging
import random
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from cases import CASES, NODES, NUMERIC, Case
from fake_grid import FakeGrid
from federations import aggregate, alike, bits, federation_of, honest

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp.strategy import Result, Strategy

all_strategies = pytest.mark.parametrize("case", CASES, ids=str)
numeric_strategies = pytest.mark.parametrize("case", NUMERIC, ids=str)
METHODS = [
    "configure_train", "aggregate_train", "configure_evaluate", "aggregate_evaluate", "summary",
]  # fmt: skip


def run(case: Case, strategy: Strategy | None = None, arrival: int | None = None) -> Result:
    with federation_of(case, arrival=arrival) as grid:
        return (strategy or case.make()).start(grid, case.model(), num_rounds=3)


def equal(first: Result, second: Result) -> bool:
    return (
        bits(first.arrays) == bits(second.arrays)
        and first.train_metrics_clientapp == second.train_metrics_clientapp
        and first.evaluate_metrics_clientapp == second.evaluate_metrics_clientapp
    )


# --- rounds ----------------------------------------------------------------------------------


@all_strategies
def test_rounds_change_the_model_and_report_metrics(case: Case) -> None:
    result = run(case)
    assert bits(result.arrays) != bits(case.model())
    assert list(result.train_metrics_clientapp) == [1, 2, 3]
    assert list(result.evaluate_metrics_clientapp) == [1, 2, 3]
    assert "loss" in result.evaluate_metrics_clientapp[3]


@all_strategies
@pytest.mark.parametrize("arrival", [0, 1, 2])
def test_the_order_in_which_replies_arrive_changes_no_bit(case: Case, arrival: int) -> None:
    assert equal(run(case, arrival=arrival), run(case))


@all_strategies
def test_a_strategy_resumed_from_its_state_gives_the_same_bits(case: Case) -> None:
    strategy = case.make()
    states: dict[int, Any] = {}

    def keep(server_round: int, arrays: ArrayRecord) -> None:
        states[server_round] = strategy.state_dict(), random.getstate()

    with federation_of(case) as grid:
        straight = strategy.start(grid, case.model(), num_rounds=4, evaluate_fn=keep)
    for server_round in (1, 2, 3):
        state, generator = states[server_round]
        assert msgspec.msgpack.encode(plain(state))
        resumed = case.make()
        resumed.load_state_dict(state)
        with federation_of(case) as grid:
            random.setstate(generator)
            assert equal(resumed.start(grid, ArrayRecord(), num_rounds=4), straight)


@all_strategies
def test_a_second_start_begins_anew(case: Case) -> None:
    """Upstream's optimisers go on with the moments of the first."""
    strategy = case.make()
    with federation_of(case) as grid:
        first = strategy.start(grid, case.model(), num_rounds=3)
    with federation_of(case) as grid:
        assert equal(strategy.start(grid, case.model(), num_rounds=3), first)


@all_strategies
def test_later_rounds_do_not_change_a_state(case: Case) -> None:
    strategy = case.make()
    states: list[Any] = []

    def keep(server_round: int, arrays: ArrayRecord) -> None:
        states.append((strategy.state_dict(), plain(strategy.state_dict())))

    with federation_of(case) as grid:
        strategy.start(grid, case.model(), num_rounds=3, evaluate_fn=keep)
    assert all(plain(state) == then for state, then in states)


def plain(state: Any) -> Any:
    """State as text, numbers, lists and dicts; anything else is an error."""
    match state:
        case None | bool() | int() | float() | str() | bytes():
            return state
        case dict():
            return {key: plain(value) for key, value in state.items()}
        case list() | tuple():
            return [plain(value) for value in state]
        case np.ndarray():
            return [str(state.dtype), state.shape, state.tobytes()]
        case ArrayRecord():
            return bits(state)
    raise AssertionError(f"{type(state)} is not plain data")


@numeric_strategies
def test_a_model_that_is_edited_between_rounds_is_the_one_that_goes_on(case: Case) -> None:
    """The current model is that of `configure_train`, not the last one aggregated."""
    strategy, model = case.make(), case.model()
    assert bits(aggregate(case, model, alike(case, model), strategy)[0]) == bits(model)
    edited = ArrayRecord({name: Array(doubled(array.numpy())) for name, array in model.items()})
    assert bits(aggregate(case, edited, alike(case, edited), strategy)[0]) == bits(edited)


def doubled(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.add(values, values, dtype=values.dtype))


@all_strategies
def test_one_node_is_enough_if_the_rule_allows_it(case: Case) -> None:
    strategy = case.make(min_train_nodes=1, min_evaluate_nodes=1, min_available_nodes=1)
    if case.turns:
        strategy.min_train_nodes = strategy.min_evaluate_nodes = 1  # type: ignore[attr-defined]
    with federation_of(case, nodes=1) as grid:
        result = strategy.start(grid, case.model(), num_rounds=2)
    assert (len(result.arrays) > 0) == (case.least == 1)
    assert len(result.evaluate_metrics_clientapp) == 2


@all_strategies
@pytest.mark.parametrize("phase", ["train", "evaluate"])
def test_a_fraction_of_zero_skips_a_phase(case: Case, phase: str) -> None:
    strategy = case.make(**{f"fraction_{phase}": 0.0})
    result = run(case, strategy)
    skipped, kept = result.train_metrics_clientapp, result.evaluate_metrics_clientapp
    if phase == "evaluate":
        skipped, kept = kept, skipped
    assert skipped == {}
    assert len(kept) == 3


@all_strategies
def test_records_have_the_names_that_were_asked_for(case: Case) -> None:
    strategy = case.make(arrayrecord_key="model", configrecord_key="settings")
    for phase in ("train", "evaluate"):
        configure = getattr(strategy, f"configure_{phase}")
        messages = list(configure(7, case.model(), ConfigRecord({"lr": 0.5}), nine_nodes()))
        assert len(messages) == (1 if case.turns else NODES)
        for message in messages:
            assert list(message.content) == ["model", "settings"]
            assert message.content["settings"]["lr"] == 0.5
            assert message.content["settings"]["server-round"] == 7
            assert message.metadata.message_type == phase


def nine_nodes() -> FakeGrid:
    return FakeGrid(range(1, NODES + 1))


@all_strategies
@pytest.mark.parametrize("name", ["fraction_evaluate", "min_train_nodes", "min_available_nodes"])
def test_settings_that_are_text_are_refused_by_name(case: Case, name: str) -> None:
    if case.turns and name == "min_train_nodes":
        return
    with pytest.raises(ValueError, match=f"{name} .*'1'|{name} .*FedXgbCyclic"):
        case.make(**{name: "1"})


@all_strategies
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("train_metrics_aggr_fn", "mean"),
        ("evaluate_metrics_aggr_fn", {}),
    ],
)
def test_what_would_fail_after_training_only_is_refused_at_once(
    case: Case, name: str, value: object
) -> None:
    with pytest.raises(ValueError, match=name):
        case.make(**{name: value})


@all_strategies
def test_own_settings_that_are_text_are_refused_by_name(case: Case) -> None:
    for name in case.settings:
        with pytest.raises(ValueError, match=f"{name}.*'0.5'"):
            replace(case, settings={**case.settings, name: "0.5"}).make()


@all_strategies
def test_the_summary_tells_the_settings(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    case.make(weighted_by_key="num-examples").summary()
    lines = [record.getMessage() for record in caplog.records]
    assert "\t├──> Sampling:" in lines
    assert "\t\t├── Weighted by: 'num-examples'" in lines
    if case.title:
        assert lines[0] == f"\t├──> {case.title}:"


# --- in the hands of users -------------------------------------------------------------------


@all_strategies
@pytest.mark.parametrize("method", METHODS)
def test_a_subclass_may_override_one_method_and_call_super(case: Case, method: str) -> None:
    calls: list[Any] = []

    def override(self: Any, *args: Any) -> Any:
        calls.append(args)
        return getattr(case.cls, method)(self, *args)

    subclass: Any = type("Mine", (case.cls,), {method: override})
    assert equal(run(case, case.make(subclass)), run(case))
    assert len(calls) == (1 if method == "summary" else 3)
    if method.startswith("aggregate"):
        assert all(isinstance(replies, list) for _, replies in calls)


@all_strategies
def test_a_subclass_may_walk_the_replies_after_super(case: Case) -> None:
    class Walking(case.cls):  # type: ignore[misc, name-defined]
        def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Any:
            aggregated = super().aggregate_train(server_round, replies)
            walked.append([bits(reply.content["arrays"]) for reply in replies])
            return aggregated

    walked: list[Any] = []
    assert equal(run(case, case.make(Walking)), run(case))
    first = [bits(answer["arrays"]) for answer in honest(case, case.model())]
    assert len(walked) == 3
    assert all(one in first for one in walked[0])
    assert len(walked[0]) == len(first)


@all_strategies
def test_a_subclass_may_change_what_comes_out(case: Case) -> None:
    class Replaced(case.cls):  # type: ignore[misc, name-defined]
        def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Any:
            arrays, _ = super().aggregate_train(server_round, replies)
            assert arrays is not None
            return case.model(), MetricRecord({"mine": server_round})

    result = run(case, case.make(Replaced))
    assert bits(result.arrays) == bits(case.model())
    assert result.train_metrics_clientapp[3] == {"mine": 3}


@all_strategies
def test_a_subclass_may_send_to_fewer_nodes(case: Case) -> None:
    class Fewer(case.cls):  # type: ignore[misc, name-defined]
        def configure_train(
            self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Any
        ) -> Iterable[Message]:
            messages = list(super().configure_train(server_round, arrays, config, grid))
            return messages[: max(1, len(messages) - 2)]

    result = run(case, case.make(Fewer))
    assert list(result.train_metrics_clientapp) == [1, 2, 3]


@all_strategies
def test_a_subclass_may_give_each_node_its_config(case: Case) -> None:
    def own(self: Any, node_id: int, config: ConfigRecord) -> ConfigRecord:
        config["node"] = node_id
        return config

    subclass: Any = type("Mine", (case.cls,), {"configure_node": own})
    messages = case.make(subclass).configure_train(1, case.model(), ConfigRecord(), nine_nodes())
    sent = {m.metadata.dst_node_id: m.content["config"]["node"] for m in messages}
    assert len(sent) == (1 if case.turns else NODES)
    assert all(node == config for node, config in sent.items())


@all_strategies
@pytest.mark.parametrize("given", [None, {"lr": 1.0}], ids=["None", "dict"])
def test_a_configuration_of_a_node_that_is_none_is_named(case: Case, given: object) -> None:
    def own(self: Any, node_id: int, config: ConfigRecord) -> object:
        return given

    own.__qualname__ = "Mine.configure_node"
    subclass: Any = type("Mine", (case.cls,), {"configure_node": own})
    message = f"Mine.configure_node must return a ConfigRecord for node 1, .*{type(given).__name__}"
    with pytest.raises(TypeError, match=message):
        list(case.make(subclass).configure_train(1, case.model(), ConfigRecord(), nine_nodes()))
