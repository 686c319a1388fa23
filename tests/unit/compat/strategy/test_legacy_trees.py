"""The strategies for XGBoost and Android: models that are bytes."""

import json
from typing import Any

import numpy as np
import pytest
from legacy_rounds import (
    OK,
    by_clients,
    client,
    configured,
    evaluated,
    fit_res,
    manager_of,
    model_of,
    round_of,
    saved,
    trained,
    values_of,
    warnings_in,
)

from flwr.compat.typing import FitRes, Parameters
from flwr.server.strategy import FedAvg, FedAvgAndroid, FedXgbBagging, FedXgbCyclic, FedXgbNnAvg
from flwr.serverapp.exception import AggregationError, InconsistentMessageReplies

NOTHING = Parameters([], "")


def toy(*tags: str, num_class: int = 0) -> Parameters:
    """A model of XGBoost: one tree a round, each with a tag."""
    model = {
        "gbtree_model_param": {"num_trees": str(len(tags)), "num_parallel_tree": "1"},
        "iteration_indptr": list(range(len(tags) + 1)),
        "tree_info": [0] * len(tags),
        "trees": [{"id": number, "tag": tag} for number, tag in enumerate(tags)],
    }
    learner = {
        "gradient_booster": {"model": model, "name": "gbtree"},
        "learner_model_param": {"num_class": str(num_class), "base_score": "[5E-1]"},
    }
    return Parameters([json.dumps({"learner": learner}).encode()], "")


def tags(parameters: Parameters | None) -> list[str]:
    assert parameters is not None
    [text] = parameters.tensors
    trees = json.loads(text)["learner"]["gradient_booster"]["model"]["trees"]
    assert [tree["id"] for tree in trees] == list(range(len(trees)))
    return [tree["tag"] for tree in trees]


# --- FedXgbBagging ---------------------------------------------------------------------------


def test_the_first_model_is_kept_byte_for_byte_if_it_is_alone() -> None:
    strategy = FedXgbBagging()
    parameters, _ = round_of(strategy, NOTHING, by_clients([fit_res(toy("a"))]))
    assert parameters == toy("a")
    assert strategy.global_model == toy("a").tensors[0]


def test_trees_join_the_model_that_was_sent() -> None:
    """Upstream adds them to a copy of its own, whatever was sent."""
    strategy = FedXgbBagging()
    parameters: Parameters | None = NOTHING
    for server_round, names in ((1, "ab"), (2, "cd")):
        assert parameters is not None
        answers = by_clients(fit_res(toy(name)) for name in names)
        parameters, _ = round_of(strategy, parameters, answers, server_round)
    assert tags(parameters) == ["a", "b", "c", "d"]
    parameters, _ = round_of(strategy, toy("z"), by_clients([fit_res(toy("e"))]), 3)
    assert tags(parameters) == ["z", "e"]
    parameters, _ = round_of(strategy, NOTHING, by_clients([fit_res(toy("f"))]), 1)
    assert tags(parameters) == ["f"]


def test_trees_are_in_the_order_of_nodes_whatever_the_order_of_results() -> None:
    for order in ([3, 1, 2], [1, 2, 3]):
        answers = [(client(node), fit_res(toy(f"t{node}"))) for node in order]
        parameters, _ = FedXgbBagging().aggregate_fit(1, answers, [])
        assert tags(parameters) == ["t1", "t2", "t3"]


@pytest.mark.parametrize("cls", [FedXgbBagging, FedXgbCyclic])
def test_metrics_of_training_are_aggregated(cls: type[FedAvg]) -> None:
    """Upstream leaves them out."""
    strategy = cls(fit_metrics_aggregation_fn=lambda pairs: {"count": len(pairs)})
    _, metrics = round_of(strategy, NOTHING, by_clients([fit_res(toy("a"))]))
    assert metrics == {"count": 1}


@pytest.mark.parametrize("cls", [FedXgbBagging, FedXgbCyclic])
def test_that_metrics_of_training_are_left_out_is_usual(
    cls: type[FedAvg], caplog: pytest.LogCaptureFixture
) -> None:
    strategy = cls()
    assert strategy.aggregate_fit(1, by_clients([fit_res(toy("a"))]), [])[1] == {}
    strategy.aggregate_evaluate(1, evaluated(3.0), [])
    assert warnings_in(caplog.records) == ["No evaluate_metrics_aggregation_fn provided"]


def test_trees_that_do_not_add_up_are_refused() -> None:
    answers = by_clients([fit_res(toy("a")), fit_res(toy("b", num_class=3))])
    with pytest.raises(InconsistentMessageReplies, match="num_class 3 instead of 0"):
        FedXgbBagging().aggregate_fit(1, answers, [])
    with pytest.raises(AggregationError, match="node 1 cannot be used"):
        FedXgbBagging().aggregate_fit(1, by_clients([fit_res(Parameters([b"{}"], ""))]), [])
    with pytest.raises(AggregationError, match="The global model cannot be used"):
        round_of(FedXgbBagging(), Parameters([b"{}"], ""), by_clients([fit_res(toy("a"))]))


def test_rounds_without_a_model_change_nothing() -> None:
    strategy = FedXgbBagging(accept_failures=False)
    assert strategy.aggregate_fit(1, [], []) == (None, {})
    assert strategy.aggregate_fit(1, by_clients([fit_res(toy("a"))]), [ValueError()]) == (None, {})
    assert strategy.aggregate_fit(1, by_clients([fit_res(NOTHING)]), []) == (None, {})


def test_the_server_evaluates_the_parameters_as_they_are() -> None:
    seen: list[Any] = []

    def evaluate(*arguments: Any) -> Any:
        seen.append(arguments)
        return 0.5, {"auc": 0.75}

    parameters = toy("a")
    assert FedXgbBagging(evaluate_function=evaluate).evaluate(2, parameters) == (0.5, {"auc": 0.75})
    assert seen == [(2, parameters, {})]
    assert FedXgbBagging().evaluate(2, parameters) is None


@pytest.mark.parametrize("cls", [FedXgbBagging, FedXgbCyclic])
def test_the_distributed_loss_is_zero(cls: type[FedXgbBagging] | type[FedXgbCyclic]) -> None:
    strategy = cls(evaluate_metrics_aggregation_fn=lambda pairs: {"auc": pairs[0][1]["auc"]})
    assert strategy.aggregate_evaluate(1, evaluated(3.0, auc=0.5), []) == (0, {"auc": 0.5})
    assert strategy.aggregate_evaluate(1, [], []) == (None, {})


# --- FedXgbCyclic ----------------------------------------------------------------------------


def test_clients_take_turns() -> None:
    """Upstream takes one of a fresh random order each round."""
    strategy = FedXgbCyclic()
    manager = manager_of(4)
    fits, evaluates = (
        [configure(server_round, NOTHING, manager)[0][0].cid for server_round in range(1, 9)]
        for configure in (strategy.configure_fit, strategy.configure_evaluate)
    )
    assert sorted(fits[:4]) == ["c1", "c2", "c3", "c4"]
    assert fits[4:] == fits[:4] == evaluates[:4] == evaluates[4:]


def test_nobody_is_asked_where_nobody_can_be_drawn() -> None:
    strategy = FedXgbCyclic(fraction_evaluate=0.0, min_fit_clients=3, min_available_clients=2)
    manager = manager_of(2)
    assert strategy.configure_fit(1, NOTHING, manager) == []
    assert strategy.configure_evaluate(1, NOTHING, manager) == []


def test_the_order_of_clients_is_its_state() -> None:
    strategy, later = FedXgbCyclic(), FedXgbCyclic()
    manager = manager_of(5)
    asked = [strategy.configure_fit(n, NOTHING, manager)[0][0].cid for n in range(1, 6)]
    later.load_state_dict(saved(strategy.state_dict()))
    assert [later.configure_fit(n, NOTHING, manager)[0][0].cid for n in range(1, 6)] == asked
    assert strategy.state_dict() == {"client_order": asked}


def test_the_last_model_is_handed_on_as_it_is() -> None:
    strategy = FedXgbCyclic()
    answers = by_clients(fit_res(Parameters([text], "any")) for text in (b"abc", b"abd"))
    assert strategy.aggregate_fit(1, answers, []) == (Parameters([b"abd"], ""), {})
    assert strategy.global_model == b"abd"
    assert strategy.aggregate_fit(2, by_clients([fit_res(NOTHING)]), []) == (None, {})


# --- FedXgbNnAvg -----------------------------------------------------------------------------


def test_networks_are_averaged_and_trees_gathered(caplog: pytest.LogCaptureFixture) -> None:
    strategy = FedXgbNnAvg(evaluate_fn=lambda *arguments: (1.0, {"given": arguments[1]}))
    assert warnings_in(caplog.records)[0].startswith("DEPRECATED FEATURE: `FedXgbNnAvg` strategy")
    answers = by_clients(
        FitRes(OK, [fit_res([[value, 1.0]], 9), (f"tree{value}", value)], examples, {})
        for value, examples in ((1, 2), (2, 3))
    )
    model, _ = strategy.aggregate_fit(1, answers, [])
    network, trees = model
    assert values_of(network) == [[1.6, 1.0]]
    assert trees == [("tree1", 1), ("tree2", 2)]
    assert strategy.evaluate(1, model) == (1.0, {"given": model})
    assert strategy.aggregate_fit(1, [], []) == (None, {})


# --- FedAvgAndroid ---------------------------------------------------------------------------


def test_tensors_are_values_and_nothing_else() -> None:
    strategy = FedAvgAndroid()
    parameters = strategy.ndarrays_to_parameters([np.ones((2, 2), "float32")])
    assert parameters == Parameters([np.ones(4, "float32").tobytes()], "numpy.nda")
    [array] = strategy.parameters_to_ndarrays(parameters)
    assert (array.dtype, array.tolist()) == (np.float32, [1.0] * 4)
    assert strategy.bytes_to_ndarray(strategy.ndarray_to_bytes(array)).tolist() == [1.0] * 4


def test_android_leaves_metrics_out_and_evaluates_arrays(caplog: pytest.LogCaptureFixture) -> None:
    strategy = FedAvgAndroid(evaluate_fn=lambda _, arrays, __: (float(arrays[0].sum()), {}))
    assert repr(strategy) == "FedAvg(accept_failures=True)"
    model = strategy.ndarrays_to_parameters([np.array([1.0, 2.0], "float32")])
    assert strategy.evaluate(1, model) == (3.0, {})
    assert strategy.aggregate_fit(1, by_clients([fit_res(model, 3, a=1)]), []) == (model, {})
    assert strategy.aggregate_evaluate(1, evaluated(3.0, a=1.0), []) == (3.0, {})
    assert warnings_in(caplog.records) == []
    assert strategy.aggregate_fit(1, trained(model, examples=[0]), []) == (None, {})


def test_android_samples_as_fedavg() -> None:
    strategy = FedAvgAndroid(fraction_fit=0.5, initial_parameters=model_of([1.0]))
    assert len(configured(strategy, NOTHING, 10)) == 5
    assert strategy.initialize_parameters(manager_of(0)) == model_of([1.0])
    assert FedAvgAndroid(fraction_evaluate=0.0).configure_evaluate(1, NOTHING, manager_of(3)) == []
