"""1.41: all the strategies that need no framework, on clients that keep count in their state."""

from keeping import keep
from tasks import descend, examples, line, squared_error, zeros

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import (
    Bulyan,
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedMedian,
    FedProx,
    FedTrimmedAvg,
    FedYogi,
    Krum,
    MultiKrum,
    QFedAvg,
)
from flwr.simulation import run_simulation

NODES = 7

STRATEGIES = {
    "FedAvg": FedAvg,
    "FedAvgM": lambda **kw: FedAvgM(server_learning_rate=0.8, server_momentum=0.7, **kw),
    "FedAdagrad": lambda **kw: FedAdagrad(eta=0.2, tau=0.01, **kw),
    "FedAdam": lambda **kw: FedAdam(eta=0.2, tau=0.01, **kw),
    "FedYogi": lambda **kw: FedYogi(eta=0.2, **kw),
    "FedProx": lambda **kw: FedProx(proximal_mu=0.3, **kw),
    "FedMedian": FedMedian,
    "FedTrimmedAvg": lambda **kw: FedTrimmedAvg(beta=0.2, **kw),
    "Krum": lambda **kw: Krum(num_malicious_nodes=1, **kw),
    "MultiKrum": lambda **kw: MultiKrum(num_malicious_nodes=1, num_nodes_to_select=3, **kw),
    "Bulyan": Bulyan,
    "QFedAvg": lambda **kw: QFedAvg(client_learning_rate=0.3, q=0.5, **kw),
}

app = ClientApp()


@app.train()
def train(msg: Message, context: Context):
    number = context.node_config["partition-id"]
    count = context.state.setdefault("count", MetricRecord({"n": 0}))
    count["n"] += 1
    x, y = line(number, examples(number))
    shrink = 1 / (1 + msg.content["config"].get("proximal-mu", 0.0))
    before = msg.content["arrays"].to_numpy_ndarrays()
    weights = descend(before, x, y, lr=0.1 * shrink / count["n"])
    metrics = {
        "train_loss": squared_error(before, x, y),
        "n": count["n"],
        "num-examples": len(y),
    }
    content = RecordDict({"arrays": ArrayRecord(weights), "metrics": MetricRecord(metrics)})
    return Message(content=content, reply_to=msg)


def app_of(name):
    server = ServerApp()

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        def global_evaluate(server_round, arrays):
            keep(**{f"{name} {server_round}": arrays.to_numpy_ndarrays()})
            return MetricRecord({"loss": squared_error(arrays.to_numpy_ndarrays(), *line(50))})

        strategy = STRATEGIES[name](
            fraction_evaluate=0.0, min_train_nodes=NODES, min_available_nodes=NODES
        )
        strategy.start(
            grid=grid,
            initial_arrays=ArrayRecord(zeros()),
            num_rounds=3,
            evaluate_fn=global_evaluate,
        )

    return server


def run():
    for name in STRATEGIES:
        run_simulation(app_of(name), app, num_supernodes=NODES)
