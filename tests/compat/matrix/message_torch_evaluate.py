"""1.41: PyTorch under a strategy that judges evaluations itself; a node without test data fails."""

import torch
from keeping import keep
from nets import Small, made
from nets import test as test_fn
from nets import train as train_fn
from tasks import digits

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvgM
from flwr.simulation import run_simulation

app = ClientApp()


def model_of(msg):
    model = made(Small)
    model.load_state_dict(msg.content["arrays"].to_torch_state_dict())
    return model


@app.train()
def train(msg: Message, context: Context):
    data, _ = digits(context.node_config["partition-id"], of=6)
    model = model_of(msg)
    metrics = MetricRecord({"loss": train_fn(model, data), "num-examples": len(data[1])})
    content = RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": metrics})
    return Message(content=content, reply_to=msg)


@app.evaluate()
def evaluate(msg: Message, context: Context):
    number = context.node_config["partition-id"]
    if number == 2:
        raise LookupError("there are no data to test with")
    _, data = digits(number, of=6)
    loss, accuracy = test_fn(model_of(msg), data)
    metrics = {"loss": loss, "accuracy": accuracy, "num-examples": len(data[1])}
    return Message(content=RecordDict({"metrics": MetricRecord(metrics)}), reply_to=msg)


class Judging(FedAvgM):
    def aggregate_evaluate(self, server_round, replies):
        replies = list(replies)
        failed = sum(reply.has_error() for reply in replies)
        metrics = super().aggregate_evaluate(server_round, replies)
        metrics["failed"] = failed
        metrics["gap"] = max(
            r.content["metrics"]["loss"] for r in replies if r.has_content()
        ) - min(r.content["metrics"]["loss"] for r in replies if r.has_content())
        return metrics


server = ServerApp()


@server.main()
def main(grid: Grid, context: Context) -> None:
    torch.manual_seed(0)
    strategy = Judging(
        server_learning_rate=0.9,
        server_momentum=0.5,
        min_train_nodes=3,
        min_evaluate_nodes=3,
        min_available_nodes=3,
    )
    initial = ArrayRecord(made(Small).state_dict())
    result = strategy.start(grid=grid, initial_arrays=initial, num_rounds=3)
    keep(train=result.train_metrics_clientapp, evaluate=result.evaluate_metrics_clientapp)
    keep(arrays=result.arrays.to_numpy_ndarrays(), names=list(result.arrays))


def run():
    run_simulation(server, app, num_supernodes=3)
