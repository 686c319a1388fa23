"""1.13: a strategy of one's own in all three places, and clients that count their rounds."""

from logging import INFO

import numpy as np
from keeping import keep
from tasks import descend, examples, line, squared_error, zeros

from flwr.client import ClientApp, NumPyClient
from flwr.common import (
    ConfigsRecord,
    Context,
    EvaluateIns,
    EvaluateRes,
    FitIns,
    FitRes,
    NDArrays,
    Parameters,
    Scalar,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
)
from flwr.common.logger import log
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.client_manager import ClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy import FedAvg
from flwr.simulation import run_simulation


class LineClient(NumPyClient):
    def __init__(self, context: Context):
        self.number = int(context.node_config["partition-id"])
        self.state = context.state
        self.x, self.y = line(self.number, examples(self.number))
        if "rounds" not in self.state.configs_records:
            self.state.configs_records["rounds"] = ConfigsRecord({"seen": 0, "name": ""})

    def fit(self, parameters: NDArrays, config: dict[str, Scalar]):
        record = self.state.configs_records["rounds"]
        record["seen"] += 1
        record["name"] += chr(ord("a") + self.number)
        lr = config["lr"] / record["seen"]
        weights = descend(parameters, self.x, self.y, lr=lr)
        metrics = {"number": self.number, "seen": record["seen"], "name": record["name"]}
        return weights, len(self.y), metrics

    def evaluate(self, parameters: NDArrays, config: dict[str, Scalar]):
        loss = squared_error(parameters, self.x, self.y)
        return loss, len(self.y), {"number": self.number, "half": config["half"]}


def client_fn(context: Context):
    return LineClient(context).to_client()


client_app = ClientApp(client_fn=client_fn)


class CustomStrategy(FedAvg):
    def __init__(self, learning_rate: float, **kwargs):
        super().__init__(**kwargs)
        self.learning_rate = learning_rate
        self.results_list: list[list[tuple[ClientProxy, FitRes]]] = []
        self.best: float | None = None

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        client_manager.wait_for(4)
        available = client_manager.num_available()
        clients = client_manager.sample(num_clients=available, min_num_clients=4)
        clients.sort(key=lambda client: int(client.cid))
        config = {"lr": self.learning_rate, "round": server_round}
        return [(client, FitIns(parameters, dict(config))) for client in clients]

    def aggregate_fit(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, FitRes]],
        failures: list[tuple[ClientProxy, FitRes] | BaseException],
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        if not results:
            return None, {}
        self.results_list.append(results)
        latest = sorted(self.results_list[-1], key=lambda pair: pair[1].metrics["number"])
        arrays = [parameters_to_ndarrays(res.parameters) for _, res in latest]
        weights = [np.sqrt(res.num_examples) for _, res in latest]
        total = sum(weights)
        mean = [
            sum(w / total * layers[place] for w, layers in zip(weights, arrays, strict=True))
            for place in range(len(arrays[0]))
        ]
        keep(arrays=mean, seen=[res.metrics["seen"] for _, res in latest])
        names = "".join(str(res.metrics["name"]) for _, res in latest)
        return ndarrays_to_parameters(mean), {"rounds": len(self.results_list), "names": names}

    def configure_evaluate(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, EvaluateIns]]:
        pairs = super().configure_evaluate(server_round, parameters, client_manager)
        return [(client, EvaluateIns(ins.parameters, {"half": 0.5})) for client, ins in pairs]

    def aggregate_evaluate(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, EvaluateRes]],
        failures: list[tuple[ClientProxy, EvaluateRes] | BaseException],
    ) -> tuple[float | None, dict[str, Scalar]]:
        loss, _ = super().aggregate_evaluate(server_round, results, failures)
        if loss is not None and (self.best is None or loss < self.best):
            self.best = loss
            log(INFO, "the best so far")
        worst = max(res.loss for _, res in results)
        keep(worst=worst, best=self.best)
        return loss, {"worst": worst, "half": results[0][1].metrics["half"]}


def server_fn(context: Context):
    strategy = CustomStrategy(learning_rate=0.2, initial_parameters=ndarrays_to_parameters(zeros()))
    return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=3))


server_app = ServerApp(server_fn=server_fn)


def run():
    run_simulation(server_app, client_app, 4)
