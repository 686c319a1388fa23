"""1.18: no strategy: the ServerApp makes messages with its driver, and adds up by itself."""

import threading

import numpy as np
from keeping import keep
from tasks import descend, examples, line, squared_error, zeros

from flwr.client import ClientApp
from flwr.common import (
    DEFAULT_TTL,
    ConfigsRecord,
    Context,
    Message,
    MessageType,
    MetricsRecord,
    ParametersRecord,
    RecordSet,
    array_from_numpy,
)
from flwr.server import Driver, ServerApp
from flwr.simulation import run_simulation

client_app = ClientApp()


def to_record(arrays):
    names = ["w", "b"]
    pairs = zip(names, arrays, strict=True)
    return ParametersRecord({name: array_from_numpy(array) for name, array in pairs})


@client_app.train()
def train(msg: Message, context: Context) -> Message:
    number = context.node_config["partition-id"]
    x, y = line(number, examples(number))
    weights = [array.numpy() for array in msg.content.parameters_records["model"].values()]
    settings = msg.content.configs_records["settings"]
    weights = descend(weights, x, y, lr=settings["lr"])
    content = RecordSet(
        parameters_records={"model": to_record(weights)},
        metrics_records={"metrics": MetricsRecord({"loss": squared_error(weights, x, y)})},
        configs_records={"about": ConfigsRecord({"number": number, "examples": len(y)})},
    )
    return msg.create_reply(content)


server_app = ServerApp()


@server_app.main()
def main(driver: Driver, context: Context) -> None:
    node_ids = []
    while len(node_ids) < 4:
        node_ids = list(driver.get_node_ids())
        threading.Event().wait(0.05)
    model = to_record(zeros())
    losses = []
    for server_round in (1, 2, 3):
        content = RecordSet(
            parameters_records={"model": model},
            configs_records={"settings": ConfigsRecord({"lr": 0.3 / server_round})},
        )
        messages = [
            driver.create_message(
                content=content,
                message_type=MessageType.TRAIN,
                dst_node_id=node_id,
                group_id=str(server_round),
                ttl=DEFAULT_TTL,
            )
            for node_id in node_ids
        ]
        replies = driver.send_and_receive(messages)
        about = [msg.content.configs_records["about"] for msg in replies]
        assert sorted(record["number"] for record in about) == [0, 1, 2, 3]
        assert {msg.metadata.group_id for msg in replies} == {str(server_round)}
        total = sum(record["examples"] for record in about)
        mean = zeros()
        for msg, record in zip(replies, about, strict=True):
            for place, array in enumerate(msg.content.parameters_records["model"].values()):
                share = array.numpy() * (record["examples"] / total)
                mean[place] = np.asarray(mean[place] + share)
        model = to_record(mean)
        got = sorted(msg.content.metrics_records["metrics"]["loss"] for msg in replies)
        losses.append(got)
    keep(model={name: array.numpy() for name, array in model.items()}, losses=losses)
    keep(bytes=model.count_bytes(), shapes=[list(array.shape) for array in model.values()])
    keep(norm=float(np.linalg.norm(model["w"].numpy())))


def run():
    run_simulation(server_app, client_app, num_supernodes=4)
