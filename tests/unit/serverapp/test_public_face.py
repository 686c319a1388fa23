"""What flwr.serverapp exports, and the Grid that users may implement."""

import inspect
import re
from pathlib import Path

import pytest
from fake_grid import FakeGrid, arrays_of

import flwr.serverapp
import flwr.serverapp.strategy
from flwr.app import MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.grid import _say_deprecated
from flwr.serverapp.strategy import FedAvg, Result, Strategy, pieces
from flwr.serverapp.strategy.columns import Gathered
from flwr.serverapp.strategy.metrics import MetricCall


def test_exports() -> None:
    assert {"Grid", "ServerApp", "artifacts_dir", "strategy"} < set(flwr.serverapp.__all__)
    assert {"FedAvg", "Result", "Strategy"} < set(flwr.serverapp.strategy.__all__)
    for package in (flwr.serverapp, flwr.serverapp.strategy):
        assert all(hasattr(package, name) for name in package.__all__)


def test_the_pieces_are_those_that_the_documentation_lists() -> None:
    page = Path(__file__).parents[3] / "docs" / "strategies" / "your-own.md"
    [table] = re.findall(r"^\| piece \|.*\n((?:\|.*\n)+)", page.read_text(), re.MULTILINE)
    listed = set(re.findall(r"\b[A-Za-z_]+\b", " ".join(re.findall(r"`([^`]+)`", table))))
    assert set(pieces.__all__) == listed | {"Reducer"}
    for name in pieces.__all__:
        assert inspect.getdoc(getattr(pieces, name))


@pytest.mark.parametrize(
    ("cls", "kind"),
    [
        (pieces.ArrayMean, "streaming"),
        (pieces.MetricMean, "streaming"),
        (pieces.Columnwise, "blockwise"),
        (Gathered, "gather"),
        (MetricCall, "gather"),
    ],
)
def test_reducers_say_what_they_keep(cls: type[pieces.Reducer[object]], kind: str) -> None:
    assert cls.kind == kind


def test_the_grid_is_abstract() -> None:
    assert Grid.__abstractmethods__ == {
        "set_run",
        "run",
        "create_message",
        "get_node_ids",
        "push_messages",
        "pull_messages",
        "send_and_receive",
    }
    with pytest.raises(TypeError, match="abstract"):
        Grid()  # type: ignore[abstract]
    assert isinstance(FakeGrid(()), Grid)


def test_create_message_says_once_that_it_is_deprecated(caplog: pytest.LogCaptureFixture) -> None:
    _say_deprecated.cache_clear()
    for node_id in range(3):
        content = RecordDict()
        message = Grid.create_message(FakeGrid(()), content, "train", node_id, "1", ttl=5)
        assert message.content is content
        metadata = message.metadata
        assert (metadata.message_type, metadata.dst_node_id) == ("train", node_id)
        assert (metadata.group_id, metadata.ttl) == ("1", 5)
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith("DEPRECATED FEATURE: `Grid.create_message`")


def test_signatures_are_the_documented_ones() -> None:
    start = inspect.signature(Strategy.start).parameters
    assert [(name, p.default) for name, p in start.items()][3:] == [
        ("num_rounds", 3),
        ("timeout", 3600),
        ("train_config", None),
        ("evaluate_config", None),
        ("evaluate_fn", None),
    ]
    assert list(start)[:3] == ["self", "grid", "initial_arrays"]
    assert list(inspect.signature(FedAvg).parameters) == [
        "fraction_train",
        "fraction_evaluate",
        "min_train_nodes",
        "min_evaluate_nodes",
        "min_available_nodes",
        "weighted_by_key",
        "arrayrecord_key",
        "configrecord_key",
        "train_metrics_aggr_fn",
        "evaluate_metrics_aggr_fn",
    ]
    assert issubclass(FedAvg, Strategy)


def test_an_empty_result() -> None:
    assert repr(Result()) == (
        "Global Arrays:\n\tArrayRecord (0.000 MB)\n\n"
        "Aggregated ClientApp-side Train Metrics:\n{}\n\n"
        "Aggregated ClientApp-side Evaluate Metrics:\n{}\n\n"
        "ServerApp-side Evaluate Metrics:\n{}\n"
    )


def test_a_result_prints_its_metrics_by_round() -> None:
    metrics = {
        1: MetricRecord({"a": 1, "b": 2.5, "c": [1, 2], "d": [0.1]}),
        2: MetricRecord(),
    }
    result = Result(arrays_of([[1.0] * 1000] * 300), train_metrics_clientapp=metrics)
    assert str(result) == (
        "Global Arrays:\n\tArrayRecord (1.145 MB)\n\n"
        "Aggregated ClientApp-side Train Metrics:\n"
        "{ 1: {'a': '1', 'b': '2.5000e+00', 'c': \"['1', '2']\", 'd': \"['1.0000e-01']\"},\n"
        "  2: {}}\n\n"
        "Aggregated ClientApp-side Evaluate Metrics:\n{}\n\n"
        "ServerApp-side Evaluate Metrics:\n{}\n"
    )


def test_the_nodes_of_a_grid_have_ids() -> None:
    assert sorted(node.node_id for node in FakeGrid({4, 2}).get_nodes()) == [2, 4]
