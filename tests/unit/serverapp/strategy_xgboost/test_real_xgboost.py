"""The real XGBoost: merged models load, predict as the union of their trees, and train on."""

import json
from typing import Any

import numpy as np
import pytest
import xgboost as xgb
from fake_grid import FakeGrid, content, replies
from sklearn.datasets import load_breast_cancer, load_wine
from xgb_models import as_arrays, as_text

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.exception import AggregationError
from flwr.serverapp.strategy import FedXgbBagging, FedXgbCyclic
from flwr.testing import federation

NODES = 3
LAYOUTS = [(classes, parallel) for classes in (2, 3) for parallel in (1, 2)]


def parameters(classes: int, parallel: int = 1, **more: Any) -> dict[str, Any]:
    objective = (
        {"objective": "binary:logistic"}
        if classes == 2
        else {"objective": "multi:softprob", "num_class": classes}
    )
    return {
        **objective,
        "num_parallel_tree": parallel,
        "max_depth": 2,
        "nthread": 1,
        "base_score": 0.5,
        "subsample": 0.9 if parallel > 1 else 1.0,  # else parallel trees are the same tree
        **more,
    }


def clients_data(classes: int) -> list[xgb.DMatrix]:
    """Three clients, each with Gaussian clouds of its own."""
    generator = np.random.default_rng(classes)
    data = []
    for shift in range(NODES):
        labels = np.arange(90) % classes
        values = generator.standard_normal((90, 4)) + labels[:, None] + shift / 2
        data.append(xgb.DMatrix(values, labels))
    return data


def raw(booster: xgb.Booster) -> bytes:
    return bytes(booster.save_raw("json"))


def load(text: bytes) -> xgb.Booster:
    return xgb.Booster(model_file=bytearray(text))


def merged(clients: list[xgb.Booster], model: bytes = b"") -> xgb.Booster:
    strategy = FedXgbBagging()
    strategy.configure_train(1, as_arrays(model), ConfigRecord(), FakeGrid({1, 2}))
    answers = [content(as_arrays(raw(client))) for client in clients]
    arrays, _ = strategy.aggregate_train(1, replies(*answers))
    assert arrays is not None
    return load(as_text(arrays))


def margins(booster: xgb.Booster, data: xgb.DMatrix) -> np.ndarray:
    return booster.predict(data, output_margin=True)


@pytest.mark.parametrize("rounds", [1, 2])
@pytest.mark.parametrize(("classes", "parallel"), LAYOUTS)
def test_the_margins_of_the_union_are_the_sum_of_the_margins(
    classes: int, parallel: int, rounds: int
) -> None:
    data = clients_data(classes)
    settings = parameters(classes, parallel)
    clients = [xgb.train(settings, matrix, rounds) for matrix in data]
    model = merged(clients)
    assert model.num_boosted_rounds() == NODES * rounds
    start = xgb.train(settings, data[0], 0)
    for matrix in data:
        base = margins(start, matrix)
        expected = base + sum(margins(client, matrix) - base for client in clients)
        np.testing.assert_allclose(margins(model, matrix), expected, atol=1e-5)


@pytest.mark.parametrize(("classes", "parallel"), LAYOUTS)
def test_clients_train_on_and_send_their_new_rounds_only(classes: int, parallel: int) -> None:
    data = clients_data(classes)
    settings = parameters(classes, parallel)
    model = merged([xgb.train(settings, matrix, 1) for matrix in data])
    base = margins(xgb.train(settings, data[0], 0), data[0])
    before, total = margins(model, data[0]), np.zeros_like(base)
    news = []
    for matrix in data:
        client = xgb.train(settings, matrix, 2, xgb_model=model)
        assert client.num_boosted_rounds() == NODES + 2
        news.append(client[NODES : NODES + 2])
        total += margins(client, data[0]) - before
    after = merged(news, raw(model))
    assert after.num_boosted_rounds() == NODES + 2 * NODES
    np.testing.assert_allclose(margins(after, data[0]), before + total, atol=1e-5)
    assert after[0:NODES].num_boosted_rounds() == NODES
    np.testing.assert_allclose(margins(after[0:NODES], data[0]), before, atol=1e-5)


def test_what_xgboost_wrote_is_kept_to_the_byte() -> None:
    [client, *_] = [xgb.train(parameters(3), matrix, 2) for matrix in clients_data(3)]
    merged_text = raw(merged([client]))
    assert merged_text == raw(client)
    twice, once = json.loads(raw(merged([client, client]))), json.loads(raw(client))
    trees = twice["learner"]["gradient_booster"]["model"].pop("trees")
    [first, second] = trees[:6], trees[6:]
    assert first == once["learner"]["gradient_booster"]["model"].pop("trees")
    assert [{**tree, "id": 0} for tree in second] == [{**tree, "id": 0} for tree in first]


def test_early_stopping_does_not_hide_the_trees_of_others() -> None:
    data = clients_data(2)
    clients = [
        xgb.train(
            parameters(2),
            m,
            6,
            evals=[(m, "own")],
            callbacks=[xgb.callback.EarlyStopping(rounds=1)],
            verbose_eval=False,
        )
        for m in data
    ]
    assert all(client.best_iteration >= 0 for client in clients)
    model = merged(clients)
    assert "best_iteration" not in model.attributes()
    assert model.num_boosted_rounds() == sum(client.num_boosted_rounds() for client in clients)


def test_a_booster_of_another_kind_is_refused() -> None:
    data = clients_data(2)[0]
    for booster in ("dart", "gblinear"):
        settings = {"booster": booster, "objective": "binary:logistic", "nthread": 1}
        with pytest.raises(AggregationError, match=f"its booster is '{booster}'"):
            merged([xgb.train(settings, data, 1)])


@pytest.mark.parametrize(("classes", "parallel"), LAYOUTS)
def test_the_binary_format_gives_the_same_model_as_json(classes: int, parallel: int) -> None:
    settings = parameters(classes, parallel, max_depth=4)
    clients = [xgb.train(settings, matrix, 2) for matrix in clients_data(classes)]
    for client in clients:
        client.feature_names = ["größe", "b", "c", "d"]
        client.set_attr(own='a "note"')
    binary = [bytes(client.save_raw()) for client in clients]
    assert not {data[:2] for data in binary} - {b"{L"}
    models = []
    for first, *others in (binary, [raw(client) for client in clients]):
        strategy = FedXgbBagging()
        strategy.configure_train(1, as_arrays(first), ConfigRecord(), FakeGrid({1, 2}))
        answers = [content(as_arrays(other)) for other in others]
        arrays, _ = strategy.aggregate_train(1, replies(*answers))
        assert arrays is not None
        models.append(raw(load(as_text(arrays))))
    assert models[0] == models[1]


def test_damaged_binary_models_are_refused_and_crash_nothing() -> None:
    """XGBoost's own reader does not survive some of them."""
    data = bytes(xgb.train(parameters(3), clients_data(3)[0], 1).save_raw())
    generator = np.random.default_rng(1)
    reasons = []
    for length in generator.integers(2, len(data), 50):
        damaged = np.frombuffer(data, np.uint8).copy()
        places = generator.integers(2, len(data), 3)
        damaged[places] = generator.integers(0, 256, 3)
        for model in (data[:length], damaged.tobytes()):
            strategy = FedXgbBagging()
            strategy.configure_train(1, as_arrays(None), ConfigRecord(), FakeGrid({1, 2}))
            try:
                strategy.aggregate_train(1, replies(content(as_arrays(model))))
            except AggregationError as error:
                reasons.append(str(error))
    assert len(reasons) >= 50  # all that are cut, and those in which a byte changed that counts
    assert all("'arrays' of node 1 cannot be used" in reason for reason in reasons)


# --- whole runs ------------------------------------------------------------------------------


def partitions(loader: Any) -> tuple[list[xgb.DMatrix], xgb.DMatrix]:
    """Each node's part of a data set, and what is held out."""
    values, labels = loader(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    held_out, rest = order[: len(order) // 4], order[len(order) // 4 :]
    parts = [rest[node::NODES] for node in range(NODES)]
    return [xgb.DMatrix(values[p], labels[p]) for p in parts], xgb.DMatrix(
        values[held_out], labels[held_out]
    )


def boosting_app(
    parts: list[xgb.DMatrix], settings: dict[str, Any], *, whole: bool, binary: bool
) -> ClientApp:
    """Nodes that boost the model by one round and send back all of it, or the new round."""
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        [model] = message.content["arrays"].to_numpy_ndarrays()
        data = parts[context.node_config["partition-id"]]
        before = load(model.tobytes()) if model.size else None
        booster = xgb.train(settings, data, 1, xgb_model=before)
        if not whole:
            count = booster.num_boosted_rounds()
            booster = booster[count - 1 : count]
        arrays = ArrayRecord(
            [np.frombuffer(booster.save_raw("ubj" if binary else "json"), np.uint8)]
        )
        metrics = MetricRecord({"num-examples": data.num_row()})
        return Message(RecordDict({"arrays": arrays, "metrics": metrics}), reply_to=message)

    return app


def accuracy(model: ArrayRecord, data: xgb.DMatrix) -> float:
    predicted = load(as_text(model)).predict(data)
    labels = predicted.argmax(axis=1) if predicted.ndim == 2 else predicted > 0.5
    return float(np.mean(labels == data.get_label()))


@pytest.mark.parametrize(("loader", "classes"), [(load_breast_cancer, 2), (load_wine, 3)])
@pytest.mark.parametrize("bagging", [True, False], ids=["bagging", "cyclic"])
@pytest.mark.parametrize("binary", [True, False], ids=["ubj", "json"])
def test_a_real_data_set_is_learned(loader: Any, classes: int, bagging: bool, binary: bool) -> None:
    parts, held_out = partitions(loader)
    settings = parameters(classes, eta=0.3 / NODES if bagging else 0.3)
    strategy: Any = FedXgbBagging if bagging else FedXgbCyclic
    app = boosting_app(parts, settings, whole=not bagging, binary=binary)
    with federation(app, NODES) as grid:
        result = strategy(fraction_evaluate=0.0).start(grid, as_arrays(None), num_rounds=12)
    model = load(as_text(result.arrays))
    assert model.num_boosted_rounds() == (12 * NODES if bagging else 12)
    assert accuracy(result.arrays, held_out) > 0.9
