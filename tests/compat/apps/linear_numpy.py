"""A first app: linear regression in NumPy, federated averaging, central evaluation."""

import numpy as np

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

TRUTH = np.array([2.0, -3.0, 0.5])

history: list[float] = []


def load_data(partition_id: int, size: int = 50) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(partition_id)
    x = rng.normal(size=(size, 3))
    return x, x @ TRUTH + 1.0


def loss(weights: list[np.ndarray], x: np.ndarray, y: np.ndarray) -> float:
    return float(np.mean((x @ weights[0] + weights[1] - y) ** 2))


client_app = ClientApp()


@client_app.train()
def train(msg: Message, context: Context) -> Message:
    w, b = msg.content["arrays"].to_numpy_ndarrays()
    lr = msg.content["config"]["lr"]
    x, y = load_data(context.node_config["partition-id"])
    for _ in range(5):
        error = x @ w + b - y
        w -= lr * x.T @ error / len(y)
        b -= lr * error.mean()
    model_record = ArrayRecord([w, b])
    metrics = {"train_loss": loss([w, b], x, y), "num-examples": len(y)}
    content = RecordDict({"arrays": model_record, "metrics": MetricRecord(metrics)})
    return Message(content=content, reply_to=msg)


@client_app.evaluate()
def evaluate(msg: Message, context: Context) -> Message:
    weights = msg.content["arrays"].to_numpy_ndarrays()
    x, y = load_data(context.node_config["partition-id"] + 1000, size=20)
    metrics = MetricRecord({"eval_loss": loss(weights, x, y), "num-examples": len(y)})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=msg)


server_app = ServerApp()


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    def global_evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        x, y = load_data(99, size=200)
        history.append(loss(arrays.to_numpy_ndarrays(), x, y))
        return MetricRecord({"loss": history[-1]})

    strategy = FedAvg(fraction_train=0.5, min_available_nodes=4)
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord([np.zeros(3), np.zeros(())]),
        train_config=ConfigRecord({"lr": 0.3}),
        num_rounds=5,
        evaluate_fn=global_evaluate,
    )
    assert sorted(result.evaluate_metrics_serverapp) == [0, 1, 2, 3, 4, 5]
    assert sorted(result.train_metrics_clientapp) == [1, 2, 3, 4, 5]
    assert set(result.evaluate_metrics_clientapp[5]) == {"eval_loss"}
    w, b = result.arrays.to_numpy_ndarrays()
    assert w.shape == (3,)
    assert b.shape == ()
