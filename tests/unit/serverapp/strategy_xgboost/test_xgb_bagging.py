"""FedXgbBagging: the union of trees, what does not add up, and the model kept between rounds."""

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_grid import AbleGrid, FakeGrid, arrays_of, content, replies, reply
from xgb_models import as_arrays, as_text, encode, tags, toy_model

from flwr.app import Array, ArrayRecord, ConfigRecord, Error, Message
from flwr.serverapp.exception import AggregationError, InconsistentMessageReplies
from flwr.serverapp.strategy import FedXgbBagging, fedxgb_trees
from flwr.serverapp.strategy.fedxgb_bagging import TreeUnion
from flwr.serverapp.strategy.replies import ReplyReader

DATA = Path(__file__).parents[3] / "data" / "strategies.json"
VECTORS = {vector["id"]: vector for vector in json.loads(DATA.read_text())["vectors"]}

Model = dict[str, Any]


def started(model: Model | bytes | None = None) -> FedXgbBagging:
    """A strategy that has sent out a model."""
    strategy = FedXgbBagging()
    strategy.configure_train(1, as_arrays(model), ConfigRecord(), FakeGrid({1, 2, 3}))
    return strategy


def merged(model: Model | None, *clients: Model | bytes) -> ArrayRecord:
    answers = [content(as_arrays(client)) for client in clients]
    arrays, _ = started(model).aggregate_train(1, replies(*answers))
    assert arrays is not None
    return arrays


def without_label(model: Model, name: str) -> Model:
    del model["learner"]["gradient_booster"]["model"][name]
    return model


# --- the union -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "case", VECTORS["xgb-bagging-merge"]["cases"], ids=lambda case: str(case["name"])
)
def test_vectors(case: dict[str, Any]) -> None:
    """All rounds and classes of each node's trees are kept, and labelled as they were."""
    assert json.loads(as_text(merged(case["global_"], *case["clients"]))) == case["expected"]


def test_the_first_model_is_kept_byte_for_byte_if_it_is_alone() -> None:
    text = json.dumps(toy_model("a", attributes={"best_iteration": "0"}), indent=3).encode()
    assert as_text(merged(None, text)) == text


def test_without_a_global_model_the_first_one_is_extended() -> None:
    model = merged(None, toy_model("a", "b"), toy_model("c"), toy_model("d", "e"))
    assert tags(model) == ["a", "b", "c", "d", "e"]


def test_what_is_not_merged_stays_as_the_global_model_wrote_it() -> None:
    text = encode(toy_model("a")).replace(b'"version"', b'"own":[1.250E-07,"\xc3\xa9"],"version"')
    model = as_text(merged(json.loads(text), toy_model("b")))
    assert b'"own":[1.25e-07,"' in model  # as json.dumps of this test wrote the number
    assert json.loads(model)["version"] == [3, 2, 0]


def test_numbers_in_trees_keep_their_text() -> None:
    text = encode(toy_model("a")).replace(b'"tag"', b'"split_conditions":[4.30E-1,1E0],"tag"')
    strategy = started(text)
    arrays, _ = strategy.aggregate_train(1, replies(content(as_arrays(text))))
    assert arrays is not None
    assert as_text(arrays).count(b"[4.30E-1,1E0]") == 2


def test_trees_are_in_the_order_of_node_ids_whatever_the_order_of_replies() -> None:
    answers = {node: content(as_arrays(toy_model(f"t{node}"))) for node in (30, 4, 17)}
    texts = set()
    for order in ((30, 4, 17), (4, 17, 30), (17, 30, 4)):
        strategy = started(toy_model("g"))
        arrays, _ = strategy.aggregate_train(1, [reply(node, answers[node]) for node in order])
        assert arrays is not None
        assert tags(arrays) == ["g", "t4", "t17", "t30"]
        texts.add(as_text(arrays))
    assert len(texts) == 1


def test_notes_of_early_stopping_are_dropped_because_they_would_hide_later_trees() -> None:
    notes = {"best_iteration": "0", "best_score": "0.5", "mine": "1"}
    model = merged(toy_model("a", attributes=notes), toy_model("b", attributes=notes))
    assert json.loads(as_text(model))["learner"]["attributes"] == {"mine": "1"}


def test_rounds_of_old_files_are_found_again() -> None:
    old = without_label(
        toy_model(*"abcdef", classes=[0, 1, 2] * 2, num_class=3), "iteration_indptr"
    )
    new = toy_model("x", "y", "z", classes=[0, 1, 2], starts=[0, 3], num_class=3)
    model = json.loads(as_text(merged(old, new)))["learner"]["gradient_booster"]["model"]
    assert model["iteration_indptr"] == [0, 3, 6, 9]


def test_partial_unions_can_be_merged() -> None:
    def union(*nodes: int) -> TreeUnion:
        reader = ReplyReader("test", "num-examples", with_arrays=True)
        trees = TreeUnion("test")
        for node in nodes:
            trees.add(reader.update(node, content(as_arrays(toy_model(f"t{node}")))))
        return trees

    first, second = union(5, 2), union(4, 1)
    first.merge(second)
    assert second.finish() is None
    model, whole = first.finish(), union(1, 2, 4, 5).finish()
    assert model is not None
    assert whole is not None
    assert model.text == whole.text
    other = TreeUnion("test")
    reader = ReplyReader("test", "num-examples", with_arrays=True)
    other.add(reader.update(9, content(as_arrays(toy_model("a", parallel=2)))))
    whole_again = union(1)
    with pytest.raises(InconsistentMessageReplies, match="node 9 has num_parallel_tree 2"):
        whole_again.merge(other)


# --- what does not add up --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("different", "words"),
    [
        (toy_model("c", num_class=3), "num_class 3 instead of 0"),
        (toy_model("c", parallel=2), "num_parallel_tree 2 instead of 1"),
        (
            toy_model("c", learner_model_param={"num_class": "0", "num_feature": "7"}),
            "num_feature 7 instead of 0",
        ),
        (toy_model("c", objective={"name": "reg:absoluteerror"}), "objective reg:absoluteerror"),
    ],
)
def test_models_of_another_kind_are_refused(different: Model, words: str) -> None:
    with pytest.raises(InconsistentMessageReplies, match=f"node 2 has {words}.*the global model"):
        merged(toy_model("a"), toy_model("b"), different)
    with pytest.raises(InconsistentMessageReplies, match=f"node 2 has {words}.*that of node 1"):
        merged(None, toy_model("b"), different)


def test_features_under_other_names_are_refused() -> None:
    named, unnamed = (toy_model("a", feature_names=names) for names in (["x", "y"], []))
    assert len(tags(merged(named, unnamed))) == 2
    with pytest.raises(InconsistentMessageReplies, match=r"feature_names \['y', 'x'\] instead of"):
        merged(named, toy_model("b", feature_names=["y", "x"]))


def test_categories_numbered_otherwise_are_refused() -> None:
    def with_cats(*names: str) -> Model:
        model = toy_model("a")
        cats = {"enc": list(names), "feature_segments": [], "sorted_idx": []}
        model["learner"]["gradient_booster"]["model"]["cats"] = cats
        return model

    assert len(tags(merged(with_cats(), toy_model("b")))) == 2
    assert len(tags(merged(with_cats("red", "blue"), with_cats("red", "blue")))) == 2
    with pytest.raises(InconsistentMessageReplies, match="has categories"):
        merged(with_cats("red", "blue"), with_cats("blue", "red"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "not an XGBoost model in JSON"),
        (b"\x00\x01", "not an XGBoost model in JSON"),
        (b"[]", "not an XGBoost model in JSON"),
        (b"{}", "lacks the field 'learner'"),
        (b"{L\x00\x00", "not an XGBoost model in UBJSON: byte 2 is followed by less"),
        (b"{L" + bytes(8) + b"d" + bytes(4) + b"}", "lacks the field 'learner'"),
        (b"{L" + bytes(8) + b"}", "UBJSON: byte 10 begins no value"),
        (b"{L" + bytes(8) + b"Z}Z", "UBJSON: 1 bytes follow its end"),
        (b"{L" + bytes(8) + b"[" * 99, "UBJSON: it is nested too deep"),
        (b"{L" + bytes(8) + b"[$U#l\xff\xff\xff\xff", "UBJSON: byte 19 is followed by less"),
        (b"{L" + bytes(8) + b"[$SL", "UBJSON: byte 13 should say that a count follows"),
        (b"{L" + bytes(8) + b"[$S#U\x01", "UBJSON: .* an array of other than numbers"),
        (b"{L" + bytes(8) + b"[#d", "UBJSON: byte 12 should begin a length"),
        (b"{L" + bytes(7) + b"\x01\xffZ}", "UBJSON: .*invalid start byte"),
        (encode(toy_model("a"))[:-9], "not an XGBoost model in JSON"),
        (encode(toy_model("a", booster="dart")), "its booster is 'dart'"),
        (encode(toy_model("a", booster="gblinear")), "its booster is 'gblinear'"),
        (encode(toy_model("a", "b", starts=[0, 1])), "it has 2 trees, but num_trees"),
        (encode(toy_model("a", classes=[0, 0])), "it has 1 trees, but"),
        (encode(toy_model("a", starts=[])), "it has 1 trees, but"),
        (encode(without_label(toy_model("a"), "trees")), "lacks the field 'trees'"),
    ],
)
def test_what_is_no_model_is_refused_with_its_node(text: bytes, words: str) -> None:
    with pytest.raises(AggregationError, match=f"'arrays' of node 1 cannot be used: .*{words}"):
        merged(toy_model("g"), text)
    if text:
        with pytest.raises(AggregationError, match=f"The global model cannot be used: .*{words}"):
            started(text)


@pytest.mark.parametrize("count", [0, 2])
def test_a_model_is_one_array(count: int) -> None:
    arrays = arrays_of(*[[1.0]] * count)
    with pytest.raises(InconsistentMessageReplies, match=f"the global ArrayRecord holds {count}"):
        FedXgbBagging().configure_train(1, arrays, ConfigRecord(), FakeGrid({1, 2}))
    with pytest.raises(InconsistentMessageReplies, match=f"'arrays' of node 1 holds {count}"):
        started().aggregate_train(1, replies(content(arrays)))


def test_another_base_score_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """The intercept is estimated from local labels unless it is set; the first one stays."""
    other = toy_model("b", learner_model_param={"num_class": "0", "base_score": "[4.3E-1]"})
    older = toy_model("c", learner_model_param={"num_class": "0", "base_score": "5E-1"})
    model = merged(toy_model("a"), older, other)
    assert json.loads(as_text(model))["learner"]["learner_model_param"]["base_score"] == "[5E-1]"
    [warning] = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert "base_score 5E-1" in warning
    assert "node 2 (4.3E-1)" in warning
    assert "node 1" not in warning


def test_aggregating_before_a_model_was_sent_is_an_error() -> None:
    with pytest.raises(AggregationError, match="configure_train comes first"):
        FedXgbBagging().aggregate_train(1, replies(content(as_arrays(toy_model("a")))))


# --- rounds ----------------------------------------------------------------------------------


def test_metrics_are_weighted_and_trees_are_not() -> None:
    strategy = started(toy_model("g"))
    answers = [
        content(as_arrays(toy_model("a")), 1, auc=0.5),
        content(as_arrays(toy_model("b")), 3, auc=0.9),
        Error(1, "no data"),
    ]
    arrays, metrics = strategy.aggregate_train(1, replies(*answers))
    assert arrays is not None
    assert tags(arrays) == ["g", "a", "b"]
    assert metrics == pytest.approx({"auc": 0.8})
    assert strategy.current_bst == as_text(arrays)


@pytest.mark.parametrize("answers", [[], [Error(1, "no data")]])
def test_a_round_without_results_keeps_the_model(answers: list[Error]) -> None:
    strategy = started(toy_model("g"))
    assert strategy.aggregate_train(1, replies(*answers)) == (None, None)
    arrays, _ = strategy.aggregate_train(1, replies(content(as_arrays(toy_model("a")))))
    assert arrays is not None
    assert tags(arrays) == ["g", "a"]


def test_a_refused_round_leaves_the_model_as_it_was() -> None:
    strategy = started(toy_model("g"))
    good, bad = content(as_arrays(toy_model("a"))), content(as_arrays(toy_model("b", parallel=2)))
    with pytest.raises(InconsistentMessageReplies):
        strategy.aggregate_train(1, replies(good, bad))
    arrays, _ = strategy.aggregate_train(1, replies(good))
    assert arrays is not None
    assert tags(arrays) == ["g", "a"]


def test_each_model_is_parsed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[int] = []

    class Counting(fedxgb_trees.TreeModel):
        def __init__(self, text: bytes) -> None:
            parsed.append(len(text))
            super().__init__(text)

    monkeypatch.setattr("flwr.serverapp.strategy.fedxgb_bagging.TreeModel", Counting)
    client = toy_model("c")
    grid = AbleGrid({1, 2, 3}, lambda _: content(as_arrays(client)))
    result = FedXgbBagging(fraction_evaluate=0.0).start(grid, as_arrays(toy_model("g")), 4)
    assert tags(result.arrays) == ["g"] + ["c"] * 12
    assert parsed == [len(encode(toy_model("g")))] + [len(encode(client))] * 12
    assert grid.streamed == 4


def test_a_model_that_was_changed_between_rounds_is_the_one_that_is_extended() -> None:
    class Pruned(FedXgbBagging):
        def configure_train(self, server_round, arrays, config, grid):  # type: ignore[no-untyped-def]
            return super().configure_train(server_round, as_arrays(pruned), config, grid)

    pruned = toy_model("p")
    grid = FakeGrid({1, 2}, lambda _: content(as_arrays(toy_model("c"))))
    result = Pruned(fraction_evaluate=0.0).start(grid, as_arrays(None), 3)
    assert tags(result.arrays) == ["p", "c", "c"]


def test_the_array_keeps_the_name_that_the_server_gave_it() -> None:
    def answer(message: Message) -> Any:
        assert list(message.content["arrays"]) == ["booster"]
        return content(as_arrays(toy_model("c")))

    empty = ArrayRecord({"booster": Array(np.empty(0, np.uint8))})
    result = FedXgbBagging(fraction_evaluate=0.0).start(FakeGrid({1, 2}, answer), empty, 2)
    assert list(result.arrays) == ["booster"]
    assert len(tags(result.arrays)) == 4


def test_the_model_is_empty_to_begin_with() -> None:
    assert FedXgbBagging().current_bst is None
    assert started().current_bst == b""
