"""1.18: each node boosts a model of its own, which stays in its state."""

import threading

import numpy as np
import xgboost as xgb
from keeping import keep
from tasks import two_classes

from flwr.client import ClientApp
from flwr.common import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.server import Grid, ServerApp
from flwr.simulation import run_simulation

PARAMS = {"objective": "binary:logistic", "base_score": 0.5, "max_depth": 3, "nthread": 1}

client_app = ClientApp()


@client_app.train()
def boost(msg: Message, context: Context) -> Message:
    x, y = two_classes(context.node_config["partition-id"])
    data = xgb.DMatrix(x, label=y)
    booster = None
    if "booster" in context.state.config_records:
        booster = xgb.Booster(params=PARAMS)
        booster.load_model(bytearray(context.state.config_records["booster"]["ubj"]))
    booster = xgb.train(PARAMS, data, num_boost_round=2, xgb_model=booster)
    raw = bytes(booster.save_raw("ubj"))
    context.state.config_records["booster"] = ConfigRecord({"ubj": raw})
    metrics = MetricRecord({"rounds": booster.num_boosted_rounds(), "examples": len(y)})
    return Message(RecordDict({"metrics": metrics}), reply_to=msg)


@client_app.query("votes")
def votes(msg: Message, context: Context) -> Message:
    booster = xgb.Booster()
    booster.load_model(bytearray(context.state.config_records["booster"]["ubj"]))
    margins = booster.predict(xgb.DMatrix(two_classes(77)[0]), output_margin=True)
    record = MetricRecord({"margins": [float(value) for value in margins]})
    return Message(RecordDict({"votes": record}), reply_to=msg)


server_app = ServerApp()


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    node_ids = []
    while len(node_ids) < 3:
        node_ids = list(grid.get_node_ids())
        threading.Event().wait(0.05)
    rounds = []
    for server_round in (1, 2):
        messages = [
            Message(RecordDict(), node_id, "train", group_id=str(server_round))
            for node_id in node_ids
        ]
        replies = grid.send_and_receive(messages)
        rounds.append([reply.content["metrics"]["rounds"] for reply in replies])
    asked = [Message(RecordDict(), node_id, "query.votes") for node_id in node_ids]
    margins = [reply.content["votes"]["margins"] for reply in grid.send_and_receive(asked)]
    ensemble = np.mean(margins, axis=0)
    right = float(np.mean((ensemble > 0) == two_classes(77)[1]))
    keep(rounds=rounds, ensemble=ensemble, right=right)


def run():
    run_simulation(server_app, client_app, num_supernodes=3)
