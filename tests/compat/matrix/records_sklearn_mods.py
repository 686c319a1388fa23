"""1.18: scikit-learn in a ClientApp of functions, with mods for the app and for one function."""

import threading

import numpy as np
from keeping import keep
from sklearn.linear_model import Ridge
from tasks import examples, line, squared_error, zeros

from flwr.client import ClientApp
from flwr.client.mod import arrays_size_mod
from flwr.common import (
    ArrayRecord,
    ConfigRecord,
    Context,
    Message,
    MessageType,
    MetricRecord,
    RecordDict,
)
from flwr.server import Grid, ServerApp
from flwr.simulation import run_simulation


def named(letter):
    def mod(msg: Message, context: Context, call_next) -> Message:
        msg.content.config_records["trail"]["way"] += letter
        reply = call_next(msg, context)
        reply.content.config_records["trail"]["way"] += letter.upper()
        return reply

    return mod


client_app = ClientApp(mods=[named("a"), arrays_size_mod])


@client_app.train(mods=[named("b"), named("c")])
def train(msg: Message, context: Context) -> Message:
    number = context.node_config["partition-id"]
    x, y = line(number, examples(number))
    before = msg.content.array_records["model"].to_numpy_ndarrays()
    model = Ridge(alpha=msg.content.config_records["settings"]["alpha"])
    model.fit(x, y - x @ before[0])
    arrays = ArrayRecord([before[0] + model.coef_, np.array(model.intercept_)])
    metrics = MetricRecord({"examples": len(y), "score": float(model.score(x, y))})
    trail = msg.content.config_records["trail"]
    return Message(RecordDict({"model": arrays, "m": metrics, "trail": trail}), reply_to=msg)


@client_app.evaluate(mods=[named("d")])
def evaluate(msg: Message, context: Context) -> Message:
    number = context.node_config["partition-id"]
    arrays = msg.content.array_records["model"].to_numpy_ndarrays()
    loss = squared_error(arrays, *line(number, examples(number)))
    metrics = MetricRecord({"loss": loss, "number": number})
    trail = msg.content.config_records["trail"]
    return Message(RecordDict({"m": metrics, "trail": trail}), reply_to=msg)


server_app = ServerApp()


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    node_ids = []
    while len(node_ids) < 3:
        node_ids = sorted(grid.get_node_ids())
        threading.Event().wait(0.05)
    arrays, losses, ways = zeros(), [], set()

    def ask(kind, server_round):
        messages = []
        for node_id in node_ids:
            content = RecordDict(
                {
                    "model": ArrayRecord(arrays),
                    "settings": ConfigRecord({"alpha": 1.0 / server_round}),
                    "trail": ConfigRecord({"way": ""}),
                }
            )
            messages.append(Message(content, node_id, kind, group_id=str(server_round)))
        replies = list(grid.send_and_receive(messages))
        ways.update(reply.content.config_records["trail"]["way"] for reply in replies)
        return replies

    for server_round in (1, 2):
        replies = ask(MessageType.TRAIN, server_round)
        weights = [reply.content.metric_records["m"]["examples"] for reply in replies]
        models = [reply.content.array_records["model"].to_numpy_ndarrays() for reply in replies]
        means = (
            np.average(np.stack(layers), axis=0, weights=weights)
            for layers in zip(*models, strict=True)
        )
        arrays = [np.asarray(mean) for mean in means]
        metrics = [reply.content["m"] for reply in ask(MessageType.EVALUATE, server_round)]
        losses.append([m["loss"] for m in sorted(metrics, key=lambda record: record["number"])])
    keep(arrays=arrays, losses=losses, ways=sorted(ways))


def run():
    run_simulation(server_app, client_app, num_supernodes=3)
