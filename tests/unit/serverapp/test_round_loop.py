"""Strategy.start: the order of things, what is logged, and what is left when something fails."""

import logging
import random
import re
from collections.abc import Iterable

import pytest
from fake_grid import AbleGrid, FakeGrid, arrays_of, content, echo

from flwr.app import ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.app.events import (
    Aggregated,
    NodeMetrics,
    RoundFinished,
    RoundStarted,
    ServerEvaluated,
)
from flwr.serverapp.exception import InconsistentMessageReplies
from flwr.serverapp.strategy import FedAvg, Result, Strategy
from flwr.serverapp.strategy.strategy_utils import log_strategy_start_info

MODEL = arrays_of([1.0, 2.0])


def lines(caplog: pytest.LogCaptureFixture, level: int = logging.INFO) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= level]


class Recorder(Strategy):
    """A strategy that only notes how it is called."""

    def __init__(self, new_model: ArrayRecord | None = None) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.new_model = new_model

    def configure_train(self, *args: object) -> list[Message]:
        self.calls.append(("configure_train", *args))
        return [Message(RecordDict({"arrays": args[1]}), 1, "train")]

    def aggregate_train(self, *args: object) -> tuple[ArrayRecord | None, MetricRecord | None]:
        self.calls.append(("aggregate_train", *args))
        return self.new_model, None

    def configure_evaluate(self, *args: object) -> list[Message]:
        self.calls.append(("configure_evaluate", *args))
        return [Message(RecordDict({"arrays": args[1]}), 1, "evaluate")]

    def aggregate_evaluate(self, *args: object) -> MetricRecord | None:
        self.calls.append(("aggregate_evaluate", *args))
        return None

    def summary(self) -> None:
        self.calls.append(("summary",))


def test_a_round_trains_then_evaluates_the_new_model_on_nodes_then_on_the_server() -> None:
    new_model = arrays_of([9.0])
    strategy, grid = Recorder(new_model), FakeGrid({1})

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        strategy.calls.append(("evaluate_fn", server_round, arrays))
        return MetricRecord({"acc": 0.5})

    result = strategy.start(grid, MODEL, num_rounds=2, evaluate_fn=evaluate)
    assert [
        (call[0], *(a for a in call[1:2] if isinstance(a, int))) for call in strategy.calls
    ] == [
        ("summary",),
        ("evaluate_fn", 0),
        ("configure_train", 1),
        ("aggregate_train", 1),
        ("configure_evaluate", 1),
        ("aggregate_evaluate", 1),
        ("evaluate_fn", 1),
        ("configure_train", 2),
        ("aggregate_train", 2),
        ("configure_evaluate", 2),
        ("aggregate_evaluate", 2),
        ("evaluate_fn", 2),
    ]
    models = [arg for call in strategy.calls for arg in call if isinstance(arg, ArrayRecord)]
    assert [model is new_model for model in models] == [False, False, *[True] * 4, True]
    assert result.arrays is new_model
    assert list(result.evaluate_metrics_serverapp) == [0, 1, 2]


def test_hooks_are_called_positionally_with_the_grid_and_a_list_of_replies() -> None:
    strategy, grid = Recorder(), FakeGrid({1})
    strategy.start(grid, MODEL, num_rounds=1, timeout=7.5)
    by_name = {call[0]: call[1:] for call in strategy.calls}
    server_round, arrays, config, given_grid = by_name["configure_train"]
    assert (server_round, arrays, given_grid) == (1, MODEL, grid)
    assert isinstance(config, ConfigRecord)
    assert type(by_name["aggregate_train"][1]) is list
    assert grid.timeouts == [7.5, 7.5]


def test_no_new_model_keeps_the_current_one_and_the_result_stays_empty(
    caplog: pytest.LogCaptureFixture,
) -> None:
    strategy = Recorder(None)
    result = strategy.start(FakeGrid({1}), MODEL, num_rounds=2)
    models = [call[2] for call in strategy.calls if call[0].startswith("configure")]
    assert all(model is MODEL for model in models)
    assert len(result.arrays) == 0
    assert "No round gave a new model" in " ".join(lines(caplog, logging.WARNING))


def test_a_phase_without_messages_sends_nothing_and_aggregates_an_empty_list() -> None:
    class Silent(Recorder):
        def configure_train(self, *_: object) -> list[Message]:
            return []

    strategy, grid = Silent(), AbleGrid({1})
    strategy.start(grid, MODEL, num_rounds=1)
    assert [message.metadata.message_type for sent in grid.sent for message in sent] == ["evaluate"]
    assert ("aggregate_train", 1, []) in strategy.calls
    assert [event.phase for event in grid.events if isinstance(event, Aggregated)] == ["evaluate"]


def test_the_log_reads_as_documented(caplog: pytest.LogCaptureFixture) -> None:
    random.seed(3)

    def answer(message: Message) -> RecordDict | Error:
        if message.metadata.dst_node_id == 2:
            return Error(2, "ValueError: no data\ntraceback tail")
        return echo({"loss": 0.5, "l": [1.0, 2.0]}, weight=3)(message)

    FedAvg().start(
        FakeGrid({1, 2}, answer),
        arrays_of([[0.0] * 1000] * 250),
        num_rounds=1,
        train_config=ConfigRecord({"lr": 0.1, "b": b"xxx", "l": [1, 2], "s": "x"}),
        evaluate_fn=lambda server_round, _: MetricRecord({"acc": server_round * 0.5}),
    )
    text = "\n".join(lines(caplog))
    text = re.sub(r"finished in \d+\.\d\ds", "finished in 0.00s", text)
    assert text == DOCUMENTED_LOG


DOCUMENTED_LOG = """\
Starting FedAvg strategy:
\t├── Number of rounds: 1
\t├── ArrayRecord (0.95 MB)
\t├── ConfigRecord (train): {'lr': 0.1, 'b': <bytes>, 'l': [1, 2], 's': x}
\t├── ConfigRecord (evaluate): (empty!)
\t├──> Sampling:
\t│\t├──Fraction: train (1.00) | evaluate ( 1.00)
\t│\t├──Minimum nodes: train (2) | evaluate (2)
\t│\t└──Minimum available nodes: 2
\t└──> Keys in records:
\t\t├── Weighted by: 'num-examples'
\t\t├── ArrayRecord key: 'arrays'
\t\t└── ConfigRecord key: 'config'

Initial global evaluation results: {'acc': 0.0}

[ROUND 1/1]
configure_train: Sampled 2 nodes (out of 2)
aggregate_train: Received 1 results and 1 failures
\t> Received error in reply from node 2: ValueError: no data
\t└──> Aggregated MetricRecord: {'loss': 0.5, 'l': [1.0, 2.0]}
configure_evaluate: Sampled 2 nodes (out of 2)
aggregate_evaluate: Received 1 results and 1 failures
\t> Received error in reply from node 2: ValueError: no data
\t└──> Aggregated MetricRecord: {'loss': 0.5, 'l': [1.0, 2.0]}
Global evaluation
\t└──> MetricRecord: {'acc': 0.5}

Strategy execution finished in 0.00s

Final results:

\tGlobal Arrays:
\t\tArrayRecord (0.954 MB)
\t
\tAggregated ClientApp-side Train Metrics:
\t{1: {'l': "['1.0000e+00', '2.0000e+00']", 'loss': '5.0000e-01'}}
\t
\tAggregated ClientApp-side Evaluate Metrics:
\t{1: {'l': "['1.0000e+00', '2.0000e+00']", 'loss': '5.0000e-01'}}
\t
\tServerApp-side Evaluate Metrics:
\t{0: {'acc': '0.0000e+00'}, 1: {'acc': '5.0000e-01'}}
"""


def test_the_start_lines_are_also_at_their_old_import_path(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log_strategy_start_info(4, MODEL, None, ConfigRecord({"a": True}))
    assert lines(caplog) == [
        "\t├── Number of rounds: 4",
        "\t├── ArrayRecord (0.00 MB)",
        "\t├── ConfigRecord (train): (empty!)",
        "\t├── ConfigRecord (evaluate): {'a': True}",
    ]


# --- configs ---------------------------------------------------------------------------------


def test_the_callers_configs_are_not_changed_and_the_round_is_sent() -> None:
    train, evaluate = ConfigRecord({"lr": 0.1}), ConfigRecord({"k": 1})
    grid = FakeGrid({1, 2})
    FedAvg().start(grid, MODEL, num_rounds=2, train_config=train, evaluate_config=evaluate)
    assert train == {"lr": 0.1}
    assert evaluate == {"k": 1}
    sent = [dict(messages[0].content["config"]) for messages in grid.sent]
    assert sent == [
        {"lr": 0.1, "server-round": 1},
        {"k": 1, "server-round": 1},
        {"lr": 0.1, "server-round": 2},
        {"k": 1, "server-round": 2},
    ]


def test_a_subclass_may_change_the_config_for_good() -> None:
    class Decaying(FedAvg):
        def configure_train(self, server_round, arrays, config, grid):  # type: ignore[no-untyped-def]
            config["lr"] *= 0.5
            return super().configure_train(server_round, arrays, config, grid)

    grid = FakeGrid({1, 2})
    strategy = Decaying(fraction_evaluate=0.0)
    strategy.start(grid, MODEL, num_rounds=3, train_config=ConfigRecord({"lr": 1.0}))
    assert [messages[0].content["config"]["lr"] for messages in grid.sent] == [0.5, 0.25, 0.125]


def test_the_nodes_of_a_round_share_one_content() -> None:
    grid = FakeGrid({1, 2, 3})
    FedAvg().start(grid, MODEL, num_rounds=1)
    for messages in grid.sent:
        assert len({id(message.content) for message in messages}) == 1


def test_configure_node_gives_each_node_its_own_config() -> None:
    class PerNode(FedAvg):
        def configure_node(self, node_id: int, config: ConfigRecord) -> ConfigRecord:
            config["seed"] = node_id * 10
            return config

    grid = FakeGrid({1, 2})
    PerNode().start(grid, MODEL, num_rounds=1)
    for messages in grid.sent:
        seeds = {m.metadata.dst_node_id: m.content["config"]["seed"] for m in messages}
        assert seeds == {1: 10, 2: 20}
        assert all(message.content["arrays"] is not None for message in messages)


# --- what functions may return ---------------------------------------------------------------


def test_evaluate_fn_may_return_none_or_a_plain_mapping(caplog: pytest.LogCaptureFixture) -> None:
    returned = iter([None, {"acc": 1.0}])
    result = FedAvg().start(
        FakeGrid({1, 2}), MODEL, num_rounds=1, evaluate_fn=lambda *_: next(returned)
    )
    assert result.evaluate_metrics_serverapp == {1: MetricRecord({"acc": 1.0})}
    assert isinstance(result.evaluate_metrics_serverapp[1], MetricRecord)
    assert "Initial global evaluation results: None" in lines(caplog)


def test_evaluate_fn_that_returns_something_else_is_named() -> None:
    def central_evaluate(*_: object) -> tuple[float, dict[str, float]]:
        return 0.5, {}

    with pytest.raises(TypeError, match=r"central_evaluate must return a MetricRecord.*tuple"):
        FedAvg().start(FakeGrid({1, 2}), MODEL, evaluate_fn=central_evaluate)


def test_an_aggregate_train_that_returns_something_else_is_named() -> None:
    class Forgetful(FedAvg):
        def aggregate_train(self, server_round: int, replies: Iterable[Message]) -> None:
            super().aggregate_train(server_round, replies)

    with pytest.raises(TypeError, match=r"Forgetful\.aggregate_train must return a pair.*None"):
        Forgetful().start(FakeGrid({1, 2}), MODEL)


@pytest.mark.parametrize("phase", ["train", "evaluate"])
@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        (None, "an iterable of Messages, empty to ask nobody, but returned NoneType"),
        ([3], "Messages; item 0 of what it returned is int 3"),
        ("ask", "Messages; item 0 of what it returned is str 'a'"),
    ],
)
def test_a_configure_method_that_returns_no_messages_is_named(
    phase: str, returned: object, expected: str
) -> None:
    method = f"configure_{phase}"

    def configure(*_: object) -> object:
        return returned

    configure.__qualname__ = f"Vague.{method}"
    vague = type("Vague", (FedAvg,), {method: configure})
    with pytest.raises(TypeError, match=re.escape(f"Vague.{method} must return {expected}")):
        vague().start(FakeGrid({1, 2}), MODEL)


def test_initial_arrays_of_another_type_are_refused() -> None:
    with pytest.raises(TypeError, match="initial_arrays must be an ArrayRecord, not list"):
        FedAvg().start(FakeGrid({1, 2}), [1.0])


@pytest.mark.parametrize("name", ["train_config", "evaluate_config"])
def test_a_configuration_of_another_type_is_refused(name: str) -> None:
    with pytest.raises(TypeError, match=f"{name} must be a ConfigRecord, not dict"):
        FedAvg().start(FakeGrid({1, 2}), MODEL, **{name: {"lr": 0.1}})


# --- failing in the middle -------------------------------------------------------------------


def test_an_exception_carries_the_result_so_far() -> None:
    class Stops(FedAvg):
        def configure_evaluate(self, server_round, arrays, config, grid):  # type: ignore[no-untyped-def]
            if server_round == 2:
                raise KeyboardInterrupt
            return super().configure_evaluate(server_round, arrays, config, grid)

    with pytest.raises(KeyboardInterrupt) as caught:
        Stops().start(FakeGrid({1, 2}, echo({"loss": 1.0})), MODEL)
    result = caught.value.result
    assert isinstance(result, Result)
    assert list(result.train_metrics_clientapp) == [1, 2]
    assert list(result.evaluate_metrics_clientapp) == [1]
    assert "`result`" in caught.value.__notes__[0]


def test_replies_that_never_came_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    class Lossy(FakeGrid):
        def send_and_receive(self, messages, *, timeout=None):  # type: ignore[no-untyped-def]
            return super().send_and_receive(messages, timeout=timeout)[1:]

    FedAvg(fraction_evaluate=0.0).start(Lossy({1, 2, 3}), MODEL, num_rounds=1)
    assert "aggregate_train: 1 of 3 nodes sent no reply in time" in lines(caplog, logging.WARNING)


def test_nothing_is_logged_of_replies_where_there_are_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert FedAvg().aggregate_train(1, []) == (None, None)
    assert FedAvg().aggregate_evaluate(1, []) is None
    assert lines(caplog) == []


# --- streams ---------------------------------------------------------------------------------


def test_replies_are_streamed_where_the_grid_can() -> None:
    grid = AbleGrid({1, 2})
    result = FedAvg().start(grid, MODEL, num_rounds=2)
    assert grid.streamed == 4
    assert result.arrays == MODEL


@pytest.mark.parametrize("phase", ["train", "evaluate"])
def test_an_overridden_aggregate_gets_a_list(phase: str) -> None:
    seen: list[type] = []

    class Twice(FedAvg):
        def note(self, server_round, replies):  # type: ignore[no-untyped-def]
            seen.append(type(replies))
            outcome = getattr(FedAvg, f"aggregate_{phase}")(self, server_round, replies)
            assert [reply.metadata.src_node_id for reply in replies]
            return outcome

    setattr(Twice, f"aggregate_{phase}", Twice.note)
    grid = AbleGrid({1, 2})
    Twice().start(grid, MODEL, num_rounds=1)
    assert seen == [list]
    assert grid.streamed == 1  # the other phase


@pytest.mark.parametrize("name", ["train_metrics_aggr_fn", "evaluate_metrics_aggr_fn"])
def test_a_metrics_function_gets_all_contents_from_a_list(name: str) -> None:
    given: list[tuple[list[RecordDict], str]] = []

    def function(contents: list[RecordDict], key: str) -> MetricRecord:
        given.append((contents, key))
        return MetricRecord({"n": len(contents)})

    grid = AbleGrid({1, 2})
    FedAvg(**{name: function}).start(grid, MODEL, num_rounds=1)
    assert grid.streamed == 1
    [(contents, key)] = given
    assert len(contents) == 2
    assert all(isinstance(each, RecordDict) for each in contents)
    assert key == "num-examples"


def test_a_grid_that_returns_an_iterator_is_read_into_a_list() -> None:
    class Lazy(FakeGrid):
        def send_and_receive(self, messages, *, timeout=None):  # type: ignore[no-untyped-def]
            return iter(super().send_and_receive(messages, timeout=timeout))

    strategy = Recorder()
    strategy.start(Lazy({1}), MODEL, num_rounds=1)
    given = [call[2] for call in strategy.calls if call[0] == "aggregate_train"]
    assert [len(replies) for replies in given] == [1]


def test_a_stream_is_closed_when_its_replies_are_refused() -> None:
    closed: list[int] = []

    class Streaming(AbleGrid):
        def stream(self, messages, *, timeout=None):  # type: ignore[no-untyped-def]
            given = 0
            try:
                for message in messages:
                    given += 1
                    yield Message(self.answer(message), reply_to=message)
            finally:
                closed.append(given)

    sizes = iter(range(1, 100))
    grid = Streaming(range(5), lambda _: content(arrays_of([1.0] * next(sizes))))
    with pytest.raises(InconsistentMessageReplies) as caught:
        FedAvg().start(grid, MODEL)
    assert closed == [2]  # while the exception, and with it the stack, is still alive
    assert len(caught.value.result.arrays) == 0


# --- events ----------------------------------------------------------------------------------


def test_a_run_tells_its_listener() -> None:
    def answer(message: Message) -> RecordDict | Error:
        if message.metadata.dst_node_id == 2:
            return Error(2, "boom")
        return echo({"loss": 0.5}, weight=4)(message)

    grid = AbleGrid({1, 2}, answer)
    FedAvg().start(grid, MODEL, 1, evaluate_fn=lambda r, _: MetricRecord({"acc": float(r)}))
    *events, finished = grid.events
    nodes = [NodeMetrics(1, {"num-examples": 4, "loss": 0.5})]
    assert events == [
        ServerEvaluated(0, {"acc": 0.0}),
        RoundStarted(1, 1),
        Aggregated(1, "train", 1, 1, {"loss": 0.5}, nodes),
        Aggregated(1, "evaluate", 1, 1, {"loss": 0.5}, nodes),
        ServerEvaluated(1, {"acc": 1.0}),
    ]
    assert isinstance(finished, RoundFinished)
    assert (finished.round, finished.of) == (1, 1)
    assert finished.seconds >= 0


def test_events_are_the_same_for_a_list() -> None:
    class Own(FedAvg):
        def aggregate_train(self, server_round, replies):  # type: ignore[no-untyped-def]
            return super().aggregate_train(server_round, replies)

    grid = AbleGrid({1, 2}, echo({"loss": 1.0}))
    Own(fraction_evaluate=0.0).start(grid, MODEL, 1)
    [aggregated] = [event for event in grid.events if isinstance(event, Aggregated)]
    assert {node.node_id for node in aggregated.nodes} == {1, 2}


def test_a_grid_whose_emit_is_none_gets_no_events() -> None:
    grid = AbleGrid({1, 2})
    grid.emit = None  # type: ignore[method-assign]
    FedAvg().start(grid, MODEL, 1, evaluate_fn=lambda *_: MetricRecord({"acc": 1.0}))
    assert grid.events == []


# --- overriding ------------------------------------------------------------------------------


def test_any_one_method_may_be_overridden() -> None:
    class OwnSummary(FedAvg):
        def summary(self) -> None: ...

    class OwnTrain(FedAvg):
        def configure_train(self, server_round, arrays, config, grid):  # type: ignore[no-untyped-def]
            return (Message(RecordDict({"arrays": arrays}), node, "train") for node in (1, 2))

    class OwnEvaluate(FedAvg):
        def aggregate_evaluate(self, server_round, replies):  # type: ignore[no-untyped-def]
            return MetricRecord({"n": len(replies)})

    class OwnStart(FedAvg):
        def start(self, *args, **kwargs):  # type: ignore[no-untyped-def]
            return super().start(*args, num_rounds=1, **kwargs)

    for cls in (OwnSummary, OwnTrain, OwnEvaluate, OwnStart):
        extra = {} if cls is OwnStart else {"num_rounds": 1}
        result = cls().start(FakeGrid({1, 2}), MODEL, **extra)
        assert result.arrays == MODEL, cls
        assert list(result.evaluate_metrics_clientapp) == [1]


def test_a_strategy_without_its_methods_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Strategy()  # type: ignore[abstract]
    assert Strategy.__abstractmethods__ == {
        "configure_train",
        "aggregate_train",
        "configure_evaluate",
        "aggregate_evaluate",
        "summary",
    }


def test_content_is_free_in_its_names() -> None:
    def answer(message: Message) -> RecordDict:
        sent = content(arrays_of([3.0]), 2, loss=1.0)
        return RecordDict({"model": sent["arrays"], "m": sent["metrics"], "c": ConfigRecord()})

    result = FedAvg(fraction_evaluate=0.0).start(FakeGrid({1, 2}, answer), MODEL, num_rounds=1)
    assert result.arrays == arrays_of([3.0])
