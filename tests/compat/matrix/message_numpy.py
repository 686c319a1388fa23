"""1.41: federated averaging as the tutorial has it."""

from keeping import keep
from tasks import NODES, descend, examples, line, squared_error, zeros

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

app = ClientApp()


@app.train()
def train(msg: Message, context: Context):
    number = context.node_config["partition-id"]
    x, y = line(number, examples(number))
    arrays = msg.content["arrays"].to_numpy_ndarrays()
    lr = msg.content["config"]["lr"] / msg.content["config"]["server-round"]
    weights = descend(arrays, x, y, lr=lr)
    metrics = {"train_loss": squared_error(weights, x, y), "num-examples": len(y)}
    model_record = ArrayRecord(weights)
    metric_record = MetricRecord(metrics)
    content = RecordDict({"arrays": model_record, "metrics": metric_record})
    return Message(content=content, reply_to=msg)


@app.evaluate()
def evaluate(msg: Message, context: Context):
    number = context.node_config["partition-id"]
    loss = squared_error(msg.content["arrays"].to_numpy_ndarrays(), *line(number + 20))
    metrics = {"eval_loss": loss, "num-examples": 40, "number": number}
    return Message(content=RecordDict({"metrics": MetricRecord(metrics)}), reply_to=msg)


server = ServerApp()


@server.main()
def main(grid: Grid, context: Context) -> None:
    def global_evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        return MetricRecord({"loss": squared_error(arrays.to_numpy_ndarrays(), *line(50))})

    strategy = FedAvg(min_train_nodes=NODES, min_evaluate_nodes=NODES, min_available_nodes=NODES)
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(zeros()),
        train_config=ConfigRecord({"lr": 0.3}),
        num_rounds=3,
        evaluate_fn=global_evaluate,
    )
    keep(
        arrays=result.arrays.to_numpy_ndarrays(),
        train=result.train_metrics_clientapp,
        evaluate=result.evaluate_metrics_clientapp,
        server=result.evaluate_metrics_serverapp,
    )


def run():
    run_simulation(server, app, num_supernodes=NODES)
