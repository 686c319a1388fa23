"""Nodes that each know points of y = 3 a - b, some more than others, and learn it together."""

import numpy as np

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

client_app = ClientApp()
start = ArrayRecord([np.zeros(2)])


def points(context: Context) -> tuple[np.ndarray, np.ndarray]:
    node = context.node_config["partition-id"]
    rng = np.random.default_rng(node)
    x = rng.normal(size=(20 + 10 * node, 2))
    return x, x @ np.array([3.0, -1.0]) + rng.normal(scale=0.1, size=len(x))


@client_app.train()
def train(message: Message, context: Context) -> Message:
    x, y = points(context)
    [w] = message.content["arrays"].to_numpy_ndarrays()
    sent, loss = w.copy(), np.mean((x @ w - y) ** 2)  # of the model that was sent
    mu = message.content["config"].get("proximal-mu", 0.0)
    for _ in range(10):
        w -= 0.1 * (x.T @ (x @ w - y) / len(x) + mu * (w - sent))
    metrics = MetricRecord({"num-examples": len(x), "train_loss": float(loss)})
    return Message(RecordDict({"arrays": ArrayRecord([w]), "metrics": metrics}), reply_to=message)


@client_app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    x, y = points(context)
    [w] = message.content["arrays"].to_numpy_ndarrays()
    metrics = MetricRecord({"num-examples": len(x), "loss": float(np.mean((x @ w - y) ** 2))})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)
