"""1.41: scikit-learn under a strategy that lowers a setting from round to round."""

import warnings

import numpy as np
from keeping import keep
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from tasks import digits

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAdagrad
from flwr.simulation import run_simulation

app = ClientApp()


def model_of(arrays, **settings):
    model = LogisticRegression(warm_start=True, max_iter=3, **settings)
    model.classes_ = np.arange(10)
    model.coef_, model.intercept_ = arrays
    return model


@app.train()
def train(msg: Message, context: Context):
    (x, y), _ = digits(context.node_config["partition-id"], of=12)
    x = x.astype(np.float64)
    config = msg.content["config"]
    model = model_of(msg.content["arrays"].to_numpy_ndarrays(), C=config["C"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x, y)
    metrics = MetricRecord({"num-examples": len(y), "C": config["C"]})
    content = RecordDict(
        {"arrays": ArrayRecord([model.coef_, model.intercept_]), "metrics": metrics}
    )
    return Message(content=content, reply_to=msg)


@app.evaluate()
def evaluate(msg: Message, context: Context):
    _, (x, y) = digits(context.node_config["partition-id"], of=12)
    model = model_of(msg.content["arrays"].to_numpy_ndarrays())
    loss = log_loss(y, model.predict_proba(x), labels=np.arange(10))
    metrics = MetricRecord({"num-examples": len(y), "loss": loss, "accuracy": model.score(x, y)})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=msg)


class Relaxing(FedAdagrad):
    def configure_train(self, server_round, arrays, config, grid):
        if server_round > 1:
            config["C"] = config["C"] * 0.5
        return super().configure_train(server_round, arrays, config, grid)


server = ServerApp()


@server.main()
def main(grid: Grid, context: Context) -> None:
    strategy = Relaxing(
        eta=0.05, tau=1e-3, min_train_nodes=3, min_evaluate_nodes=3, min_available_nodes=3
    )
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord([np.zeros((10, 64)), np.zeros(10)]),
        train_config=ConfigRecord({"C": 1.0}),
        num_rounds=3,
    )
    keep(arrays=result.arrays.to_numpy_ndarrays(), train=result.train_metrics_clientapp)
    keep(evaluate=result.evaluate_metrics_clientapp)


def run():
    run_simulation(server, app, num_supernodes=3)
