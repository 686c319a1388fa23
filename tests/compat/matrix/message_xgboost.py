"""1.41: boosted trees, bagged."""

import numpy as np
import xgboost as xgb
from keeping import keep
from tasks import two_classes

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedXgbBagging
from flwr.simulation import run_simulation

PARAMS = {
    "objective": "binary:logistic",
    "base_score": 0.5,
    "max_depth": 2,
    "eta": 0.1,
    "nthread": 1,
}

app = ClientApp()


@app.train()
def train(msg: Message, context: Context):
    x, y = two_classes(context.node_config["partition-id"])
    data = xgb.DMatrix(x, label=y)
    if msg.content["config"]["server-round"] == 1:
        new = xgb.train(PARAMS, data, num_boost_round=1)
    else:
        whole = xgb.Booster(params=PARAMS)
        whole.load_model(bytearray(msg.content["arrays"]["0"].numpy().tobytes()))
        whole.update(data, whole.num_boosted_rounds())
        rounds = whole.num_boosted_rounds()
        new = whole[rounds - 1 : rounds]
    model = np.frombuffer(new.save_raw("json"), dtype=np.uint8)
    metrics = MetricRecord({"num-examples": len(y)})
    return Message(RecordDict({"arrays": ArrayRecord([model]), "metrics": metrics}), reply_to=msg)


@app.evaluate()
def evaluate(msg: Message, context: Context):
    x, y = two_classes(context.node_config["partition-id"])
    booster = xgb.Booster(params=PARAMS)
    booster.load_model(bytearray(msg.content["arrays"]["0"].numpy().tobytes()))
    loss = float(booster.eval(xgb.DMatrix(x, label=y)).split(":")[-1])
    metrics = MetricRecord({"logloss": loss, "num-examples": len(y)})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=msg)


server = ServerApp()


@server.main()
def main(grid: Grid, context: Context) -> None:
    strategy = FedXgbBagging(min_train_nodes=3, min_evaluate_nodes=3, min_available_nodes=3)
    empty = np.frombuffer(b"", dtype=np.uint8)
    result = strategy.start(grid=grid, initial_arrays=ArrayRecord([empty]), num_rounds=3)
    booster = xgb.Booster(params=PARAMS)
    booster.load_model(bytearray(result.arrays["0"].numpy().tobytes()))
    margins = booster.predict(xgb.DMatrix(two_classes(77)[0]), output_margin=True)
    keep(margins=margins, trees=len(booster.get_dump()))
    keep(evaluate=result.evaluate_metrics_clientapp)


def run():
    run_simulation(server, app, num_supernodes=3)
