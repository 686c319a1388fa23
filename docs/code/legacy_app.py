import numpy as np

from flwr.client import ClientApp, NumPyClient
from flwr.common import Context, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.simulation import run_simulation


class PlaneClient(NumPyClient):
    def __init__(self, number: int) -> None:
        rng = np.random.default_rng(number)
        self.x = rng.normal(size=(40, 2))  # this client's data: y = 3 a - b
        self.y = self.x @ np.array([3.0, -1.0])

    def fit(self, parameters, config):
        (w,) = parameters
        for _ in range(20):
            w -= config["lr"] * self.x.T @ (self.x @ w - self.y) / len(self.x)
        return [w], len(self.x), {}

    def evaluate(self, parameters, config):
        loss = float(np.mean((self.x @ parameters[0] - self.y) ** 2))
        return loss, len(self.x), {"rmse": loss**0.5}


def client_fn(context: Context):
    return PlaneClient(context.node_config["partition-id"]).to_client()


class Remembering(FedAvg):
    """Keeps all results, and tells which client was the worst."""

    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        self.results = []

    def aggregate_fit(self, server_round, results, failures):
        self.results.append(results)
        parameters, metrics = super().aggregate_fit(server_round, results, failures)
        if server_round == 5:
            print("learned:", parameters_to_ndarrays(parameters)[0].round(2))
        return parameters, metrics

    def aggregate_evaluate(self, server_round, results, failures):
        loss, _ = super().aggregate_evaluate(server_round, results, failures)
        return loss, {"worst": max(result.metrics["rmse"] for _, result in results)}


def server_fn(context: Context):
    strategy = Remembering(
        on_fit_config_fn=lambda server_round: {"lr": 0.1},
        initial_parameters=ndarrays_to_parameters([np.zeros(2)]),
    )
    return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=5))


client_app = ClientApp(client_fn=client_fn)
server_app = ServerApp(server_fn=server_fn)

if __name__ == "__main__":
    run_simulation(server_app, client_app, num_supernodes=4)
