import numpy as np

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

client_app = ClientApp()
server_app = ServerApp()


@client_app.train()
def train(message: Message, context: Context) -> Message:
    rng = np.random.default_rng(context.node_config["partition-id"])
    x = rng.normal(size=(40, 2))  # this node's data: y = 3 a - b
    y = x @ np.array([3.0, -1.0])
    (w,) = message.content["arrays"].to_numpy_ndarrays()
    for _ in range(20):
        w -= 0.1 * x.T @ (x @ w - y) / len(x)
    metrics = MetricRecord({"loss": float(np.mean((x @ w - y) ** 2)), "num-examples": len(x)})
    return Message(RecordDict({"arrays": ArrayRecord([w]), "metrics": metrics}), reply_to=message)


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    strategy = FedAvg(fraction_evaluate=0.0)
    result = strategy.start(grid, ArrayRecord([np.zeros(2)]), num_rounds=5)
    print("learned:", result.arrays.to_numpy_ndarrays()[0].round(2))


if __name__ == "__main__":
    run_simulation(server_app, client_app, num_supernodes=10)
