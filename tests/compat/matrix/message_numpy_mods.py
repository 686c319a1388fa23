"""1.41: clipping by a mod under a strategy for it; one node fails in one round."""

import numpy as np
from keeping import keep
from tasks import descend, examples, line

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import fixedclipping_mod, message_size_mod
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

app = ClientApp(mods=[message_size_mod])


def tagging(msg: Message, context: Context, call_next):
    reply = call_next(msg, context)
    reply.content["metrics"]["tag"] = 1.0 + msg.content["config"]["server-round"]
    return reply


@app.train(mods=[tagging, fixedclipping_mod])
def train(msg: Message, context: Context):
    number = context.node_config["partition-id"]
    if number == 1 and msg.content["config"]["server-round"] == 2:
        raise TimeoutError("the sensor did not answer")
    x, y = line(number, examples(number))
    weights = descend(msg.content["arrays"].to_numpy_ndarrays(), x, y)
    content = RecordDict(
        {"arrays": ArrayRecord(weights), "metrics": MetricRecord({"num-examples": len(y)})}
    )
    return Message(content=content, reply_to=msg)


server = ServerApp()


@server.main()
def main(grid: Grid, context: Context) -> None:
    strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=4, min_available_nodes=4)
    models = {}
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord([np.zeros(3), np.zeros(1)]),
        train_config=ConfigRecord({"clipping_norm": 0.5}),
        num_rounds=3,
        evaluate_fn=lambda number, arrays: models.update({number: arrays.to_numpy_ndarrays()}),
    )
    keep(models=models, train=result.train_metrics_clientapp)


def run():
    run_simulation(server, app, num_supernodes=4)
