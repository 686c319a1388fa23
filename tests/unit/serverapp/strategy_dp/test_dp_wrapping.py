"""What can be wrapped, accounted for and resumed: all four wrappers of differential privacy."""

import logging
import os
import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
from dp_rounds import answers, model_of, named, round_of, unit, values_of, warnings_in
from fake_grid import AbleGrid, FakeGrid, content

from flwr.app import ArrayRecord, Error, Message, MetricRecord, RecordDict
from flwr.app.events import Aggregated
from flwr.serverapp import (
    GaussianAccountant,
    GaussianPrivacyEvent,
    NeighboringRelation,
    PrivacyConfig,
    RdpAccountant,
    SamplingMethod,
)
from flwr.serverapp import strategy as strategies
from flwr.serverapp.exception import AggregationError, PrivacyBudgetExhausted
from flwr.serverapp.strategy import (
    DifferentialPrivacyClientSideAdaptiveClipping,
    DifferentialPrivacyClientSideFixedClipping,
    DifferentialPrivacyServerSideAdaptiveClipping,
    DifferentialPrivacyServerSideFixedClipping,
    FedAvg,
    FedAvgM,
    Strategy,
)
from flwr.serverapp.strategy.clipped_mean import ClippedMean, ReleaseRule
from flwr.serverapp.strategy.replies import ReplyReader, Update

Wrap = Callable[..., Any]


def fixed(cls: type) -> Wrap:
    def wrap(inner: Any, noise: float = 0.0, cohort: int = 2, **kwargs: Any) -> Any:
        return cls(inner, noise, 1.0, cohort, **kwargs)

    return wrap


def adaptive(cls: type) -> Wrap:
    def wrap(inner: Any, noise: float = 0.0, cohort: int = 2, **kwargs: Any) -> Any:
        stddev = 10.0 if noise else None
        return cls(inner, noise, cohort, 1.0, clipped_count_stddev=stddev, **kwargs)

    return wrap


WRAPS = [
    pytest.param(fixed(DifferentialPrivacyServerSideFixedClipping), id="server-fixed"),
    pytest.param(fixed(DifferentialPrivacyClientSideFixedClipping), id="client-fixed"),
    pytest.param(adaptive(DifferentialPrivacyServerSideAdaptiveClipping), id="server-adaptive"),
    pytest.param(adaptive(DifferentialPrivacyClientSideAdaptiveClipping), id="client-adaptive"),
]
each = pytest.mark.parametrize("wrap", WRAPS)


def replies_of(*models: Any) -> list[Message]:
    return answers(models, metrics=[{"norm_bit": 0, "loss": 1.0}] * len(models))


MEANS = {"FedAvg", "FedProx", "FedAvgM", "FedAdagrad", "FedAdam", "FedYogi"}
SETTINGS = {"QFedAvg": {"client_learning_rate": 0.1}}
OTHERS = sorted(
    name
    for name in strategies.__all__
    if name not in MEANS | {"Result", "Strategy"} and not name.startswith("DifferentialPrivacy")
)


@each
@pytest.mark.parametrize("name", sorted(MEANS))
def test_strategies_that_step_from_a_mean_are_accepted(wrap: Wrap, name: str) -> None:
    wrap(getattr(strategies, name)(), 1.0)


@each
@pytest.mark.parametrize("name", OTHERS)
def test_strategies_of_another_rule_are_refused(wrap: Wrap, name: str) -> None:
    inner = getattr(strategies, name)(**SETTINGS.get(name, {}))
    with pytest.raises(ValueError, match=f"{name} makes no mean of the nodes' updates"):
        wrap(inner, 1.0)


@each
def test_wrappers_and_strategies_from_scratch_are_refused(wrap: Wrap) -> None:
    class FromScratch(Strategy):
        def configure_train(self, *_: Any) -> Any: ...
        def aggregate_train(self, *_: Any) -> Any: ...
        def configure_evaluate(self, *_: Any) -> Any: ...
        def aggregate_evaluate(self, *_: Any) -> Any: ...
        def summary(self) -> None: ...

    for inner in (FromScratch(), wrap(FedAvg())):
        with pytest.raises(ValueError, match="makes no mean"):
            wrap(inner)
    with pytest.raises(ValueError, match="strategy is None"):
        wrap(None)


CLASSES = [
    getattr(strategies, name)
    for name in strategies.__all__
    if name.startswith("DifferentialPrivacy")
]


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize("value", ["1.0", [1.0], True])
def test_a_setting_of_a_wrong_type_is_named(cls: Any, value: Any) -> None:
    good: dict[str, Any] = {"strategy": FedAvg(), "noise_multiplier": 0.0, "num_sampled_clients": 2}
    numbers = ["noise_multiplier", "num_sampled_clients"]
    if "Adaptive" in cls.__name__:
        numbers += ["initial_clipping_norm", "target_clipped_quantile", "clip_norm_lr"]
        numbers += ["clipped_count_stddev"]
    else:
        good["clipping_norm"] = 1.0
        numbers.append("clipping_norm")
    cls(**good)
    for name in numbers:
        given = re.escape(f"Given: {name}={value!r}, of type {type(value).__name__}.")
        with pytest.raises(ValueError, match=f"(should|must) .*{given}"):
            cls(**{**good, name: value})
    with pytest.raises(ValueError, match="accountant should be a GaussianAccountant.*Given"):
        cls(**good, accountant=value)
    if "ClientSide" in cls.__name__:
        with pytest.raises(ValueError, match="reclip should be True or False. Given: reclip='no'"):
            cls(**good, reclip="no")
    with pytest.raises(ValueError, match=r"is the class FedAvg: pass FedAvg\(...\)"):
        cls(**{**good, "strategy": FedAvg})


@each
def test_a_subclass_that_calls_super_sees_all_replies_and_the_noised_model(wrap: Wrap) -> None:
    class Keeping(FedAvg):
        nodes: list[int]

        def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Any:
            self.nodes = [reply.metadata.src_node_id for reply in replies]
            arrays, metrics = super().aggregate_train(server_round, replies)
            self.kept = arrays
            return arrays, MetricRecord({"own": 1.0, **(metrics or {})})

    inner = Keeping()
    strategy = wrap(inner, 1.0)
    arrays, metrics = round_of(strategy, model_of([[0.0]]), replies_of([[1.0]], [[1.0]]))
    assert inner.nodes == [1, 2]
    assert arrays is inner.kept
    assert values_of(arrays)[0] != 1.0
    assert metrics is not None
    assert (metrics["own"], metrics["loss"]) == (1.0, 1.0)


@each
def test_a_subclass_that_makes_a_model_of_its_own_is_refused(wrap: Wrap) -> None:
    class Own(FedAvg):
        def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Any:
            first = next(iter(replies))
            return first.content["arrays"], MetricRecord()

    with pytest.raises(AggregationError, match="Own.aggregate_train made a model of its own"):
        round_of(wrap(Own(), 1.0), model_of([[0.0]]), replies_of([[1.0]], [[1.0]]))


@each
def test_a_subclass_that_drops_the_noised_model_for_a_raw_one_is_refused(wrap: Wrap) -> None:
    class Leaking(FedAvg):
        def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Any:
            kept = list(replies)
            super().aggregate_train(server_round, kept)
            return kept[0].content["arrays"], None

    with pytest.raises(AggregationError, match="Leaking.aggregate_train made a model of its own"):
        round_of(wrap(Leaking(), 1.0), model_of([[0.0]]), replies_of([[1.0]], [[1.0]]))


@each
def test_a_second_release_in_a_round_is_refused(wrap: Wrap) -> None:
    class Twice(FedAvg):
        def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> Any:
            kept = list(replies)
            super().aggregate_train(server_round, kept)
            return super().aggregate_train(server_round, kept)

    with pytest.raises(AggregationError, match="one release a round"):
        round_of(wrap(Twice(), 1.0), model_of([[0.0]]), replies_of([[1.0]], [[1.0]]))


@each
def test_evaluation_is_the_strategys(wrap: Wrap) -> None:
    class Evaluating(FedAvg):
        def aggregate_evaluate(self, *_: Any) -> MetricRecord:
            return MetricRecord({"own": 2.0})

    grid = FakeGrid([1, 2], lambda m: content(m.content["arrays"], norm_bit=0))
    result = wrap(Evaluating()).start(grid, model_of([[0.0]]), num_rounds=1)
    assert result.evaluate_metrics_clientapp == {1: {"own": 2.0}}


def accountant(
    max_epsilon: float | None = None, sampling: str = "no-amplification", population: int = 100
) -> GaussianAccountant | RdpAccountant:
    relation = "replace-one" if sampling == "without-replacement" else "add-or-remove-one"
    config = PrivacyConfig(
        1e-5, population, NeighboringRelation(relation), SamplingMethod(sampling), max_epsilon
    )
    return GaussianAccountant(config) if sampling == "no-amplification" else RdpAccountant(config)


@each
def test_each_release_is_accounted_for_with_the_multiplier_that_was_given(
    wrap: Wrap, caplog: pytest.LogCaptureFixture
) -> None:
    strategy = wrap(FedAvg(), 2.0, accountant=accountant())
    spent = strategy.privacy_spent()
    assert (spent.epsilon, spent.num_releases) == (0.0, 0)
    with caplog.at_level(logging.INFO, "flwr"):
        for _ in range(3):
            round_of(strategy, model_of([[0.0]]), replies_of([[1.0]], [[1.0]]))
    expected = accountant()
    expected.compose(GaussianPrivacyEvent(2.0, 2, 100), 3)
    spent = strategy.privacy_spent()
    assert spent == expected.get_privacy_spent()
    assert caplog.messages[-1] == (
        f"Privacy spent: epsilon={spent.epsilon:.6f} at delta=1e-05 after 3 releases"
    )


@each
def test_a_round_in_which_not_all_reply_is_dropped_and_costs_nothing(
    wrap: Wrap, caplog: pytest.LogCaptureFixture
) -> None:
    strategy = wrap(FedAvgM(server_momentum=0.9), 2.0, accountant=accountant())
    replies = replies_of([[1.0]], Error(2, "ValueError: boom"))
    with caplog.at_level(logging.WARNING, "flwr"):
        assert round_of(strategy, model_of([[0.0]]), replies) == (None, None)
    assert strategy.privacy_spent().num_releases == 0
    assert strategy.strategy.momentum_vector is None
    assert strategy.clipping_norm == 1.0
    assert "nothing is released in this round, nothing spent" in caplog.text


@each
def test_another_number_of_nodes_than_accounted_for_is_refused_before_sending(wrap: Wrap) -> None:
    strategy = wrap(FedAvg(), 2.0, 3, accountant=accountant())
    with pytest.raises(ValueError, match="2 nodes are asked, but num_sampled_clients is 3"):
        strategy.start(FakeGrid([1, 2]), model_of([[0.0]]))


@each
def test_the_budget_ends_the_rounds_before_it_is_passed_and_keeps_the_result(wrap: Wrap) -> None:
    limit = accountant()
    limit.compose(GaussianPrivacyEvent(2.0, 2, 100), 2)
    strategy = wrap(FedAvg(), 2.0, accountant=accountant(limit.get_epsilon(1e-5)))
    grid = FakeGrid([1, 2], lambda m: content(m.content["arrays"], norm_bit=0, loss=1.0))
    with pytest.raises(PrivacyBudgetExhausted, match="is spent after 2 releases") as caught:
        strategy.start(grid, model_of([[0.0]]), num_rounds=5)
    assert caught.value.exit_code == 200
    result = caught.value.result  # type: ignore[attr-defined]
    assert list(result.train_metrics_clientapp) == [1, 2]
    assert len(result.arrays) == 1
    assert len(grid.sent) == 4  # two rounds of training and evaluation
    assert strategy.privacy_spent().num_releases == 2


@each
def test_rounds_that_ask_nobody_cost_nothing(wrap: Wrap) -> None:
    strategy = wrap(FedAvg(fraction_train=0.0), 2.0, accountant=accountant(1e-3))
    grid = FakeGrid([1, 2], lambda _: content())
    strategy.start(grid, model_of([[0.0]]), num_rounds=2)
    assert strategy.privacy_spent().num_releases == 0


@each
@pytest.mark.parametrize("sampling", ["poisson", "without-replacement"])
def test_an_accountant_that_counts_on_sampling_is_refused(wrap: Wrap, sampling: str) -> None:
    with pytest.raises(ValueError, match="use 'no-amplification'"):
        wrap(FedAvg(), 2.0, accountant=accountant(sampling=sampling))


@each
def test_an_accountant_needs_noise_and_a_population(wrap: Wrap) -> None:
    with pytest.raises(ValueError, match="noise multiplier above 0"):
        wrap(FedAvg(), 0.0, accountant=accountant())
    with pytest.raises(ValueError, match="sample_size"):
        wrap(FedAvg(), 2.0, 3, accountant=accountant(population=2))


def nodes(message: Message) -> RecordDict:
    """Nodes that learn something else each round and are clipped half of the time."""
    if message.metadata.message_type == "evaluate":
        return content()
    number = int(message.content["config"]["server-round"])
    generator = np.random.default_rng([message.metadata.dst_node_id, number])
    [value] = message.content["arrays"].to_numpy_ndarrays()
    trained = ArrayRecord([value + generator.normal(0, 0.6, value.shape)])
    return content(trained, norm_bit=int(generator.random() < 0.5))


@each
@pytest.mark.parametrize("make", [FedAvg, lambda: FedAvgM(server_momentum=0.9)])
def test_resuming_gives_the_same_bits(wrap: Wrap, make: Callable[[], Any]) -> None:
    initial = model_of([np.zeros(4)])
    straight = wrap(make())
    expected = straight.start(FakeGrid([1, 2], nodes), initial, num_rounds=4)
    first = wrap(make())
    first.start(FakeGrid([1, 2], nodes), initial, num_rounds=2)
    second = wrap(make())
    second.load_state_dict(first.state_dict())
    result = second.start(FakeGrid([1, 2], nodes), initial, num_rounds=4)
    np.testing.assert_array_equal(values_of(result.arrays)[0], values_of(expected.arrays)[0])
    assert second.clipping_norm == straight.clipping_norm


@each
def test_what_was_spent_is_resumed_and_noise_is_not(wrap: Wrap) -> None:
    first = wrap(FedAvg(), 2.0, accountant=accountant())
    replies = replies_of([[1.0]], [[1.0]])
    round_of(first, model_of([[0.0]]), replies)
    released = []
    for _ in range(2):
        resumed = wrap(FedAvg(), 2.0, accountant=accountant())
        resumed.load_state_dict(first.state_dict())
        assert resumed.privacy_spent() == first.privacy_spent()
        arrays, _ = round_of(resumed, model_of([[0.0]]), replies)
        released.append(values_of(arrays)[0])
    assert released[0] != released[1]


@each
def test_a_state_that_would_lose_releases_is_refused(wrap: Wrap) -> None:
    with_one = wrap(FedAvg(), 2.0, accountant=accountant())
    without = wrap(FedAvg(), 2.0)
    with pytest.raises(ValueError, match="Only the state has an accountant"):
        without.load_state_dict(with_one.state_dict())
    with pytest.raises(ValueError, match="The state has no accountant"):
        with_one.load_state_dict(without.state_dict())


@each
@pytest.mark.parametrize("grid", [FakeGrid, AbleGrid])
def test_norm_bits_become_no_metric_and_no_event(wrap: Wrap, grid: Any) -> None:
    def answer(message: Message) -> RecordDict:
        return content(message.content["arrays"], norm_bit=0, loss=2.0)

    nodes = grid([1, 2], answer)
    result = wrap(FedAvg(fraction_evaluate=0.0)).start(nodes, model_of([[0.0]]), num_rounds=1)
    assert result.train_metrics_clientapp[1] == {"loss": 2.0}
    for event in getattr(nodes, "events", []):
        if isinstance(event, Aggregated):
            expected = {"num-examples": 1, "loss": 2.0}
            assert [node.metrics for node in event.nodes] == [expected] * 2


def test_two_halves_of_a_round_are_merged_into_what_one_reducer_gives() -> None:
    generator = np.random.default_rng(1)
    model = named(a=np.zeros(300, np.float32), n=3)
    updates = generator.standard_normal((70, 300), dtype=np.float32)
    rule = ReleaseRule(bound=15.0, clips=True, cohort=70, stddev=1e-9, exact=True)
    reader = ReplyReader("aggregate_train", "num-examples", with_arrays=True)
    contents = [content(named(a=update, n=4)) for update in updates]
    read: list[Update] = [reader.update(i, each) for i, each in enumerate(contents)]
    whole, first, second, none = (ClippedMean("aggregate_train", model, rule) for _ in range(4))
    for update in read:
        whole.add(update)
    for update in read[:30]:
        first.add(update)
    for update in read[30:]:
        second.add(update)
    none.merge(first)
    none.merge(second)
    none.merge(second)  # which has started again
    assert none.nodes == list(range(70))
    assert none.clipped == whole.clipped > 0
    merged, expected = none.finish(), whole.finish()
    assert merged is not None
    assert expected is not None
    np.testing.assert_allclose(merged["a"].numpy(), expected["a"].numpy(), atol=1e-7)
    assert merged["n"].numpy() == 3


def test_noise_differs_between_rounds_and_values(monkeypatch: Any) -> None:
    entropy = iter(range(1, 100))
    monkeypatch.setattr(os, "urandom", lambda count: next(entropy).to_bytes(count, "little"))
    strategy = DifferentialPrivacyServerSideFixedClipping(FedAvg(), 1.0, 1.0, 2)
    zeros = [np.zeros(1000), np.zeros(1000)]
    released = []
    for _ in range(2):
        arrays, _ = round_of(strategy, model_of(zeros), answers([zeros, zeros]))
        released += values_of(arrays)
    correlations = np.corrcoef(released)[np.triu_indices(4, 1)]
    assert np.abs(correlations).max() < 0.15


def test_warnings_are_no_noise_of_their_own(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "flwr"):
        strategy = DifferentialPrivacyServerSideFixedClipping(FedAvg(), 1.0, 1.0, 2)
        round_of(strategy, model_of([unit(4)]), answers([[unit(4, 9.0)]] * 2))
    assert warnings_in(caplog.records) == []
