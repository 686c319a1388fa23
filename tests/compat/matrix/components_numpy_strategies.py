"""1.13: all the strategies that need no framework, on clients that keep count in their state."""

from keeping import keep
from tasks import descend, examples, line, squared_error, zeros

from flwr.client import ClientApp, NumPyClient
from flwr.common import Context, MetricsRecord, ndarrays_to_parameters
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import (
    FaultTolerantFedAvg,
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedMedian,
    FedOpt,
    FedProx,
    FedTrimmedAvg,
    FedYogi,
    Krum,
    QFedAvg,
)
from flwr.server.strategy.bulyan import Bulyan
from flwr.simulation import run_simulation

NODES = 7


class Ordered(Bulyan):
    """Its last choice is one of two that are equally close: of these, the first result's."""

    def aggregate_fit(self, server_round, results, failures):
        results = sorted(results, key=lambda pair: pair[1].num_examples)
        return super().aggregate_fit(server_round, results, failures)


def first():
    return ndarrays_to_parameters(zeros())


STRATEGIES = {
    "FedAvg": lambda **kw: FedAvg(inplace=False, **kw),
    "FaultTolerantFedAvg": FaultTolerantFedAvg,
    "FedAvgM": lambda **kw: FedAvgM(server_learning_rate=0.8, server_momentum=0.7, **kw),
    "FedOpt": FedOpt,
    "FedAdagrad": lambda **kw: FedAdagrad(eta=0.2, tau=0.01, **kw),
    "FedAdam": lambda **kw: FedAdam(eta=0.2, tau=0.01, **kw),
    "FedYogi": lambda **kw: FedYogi(eta=0.2, **kw),
    "FedProx": lambda **kw: FedProx(proximal_mu=0.3, **kw),
    "FedMedian": FedMedian,
    "FedTrimmedAvg": lambda **kw: FedTrimmedAvg(beta=0.2, **kw),
    "Krum": lambda **kw: Krum(num_malicious_clients=1, **kw),
    "MultiKrum": lambda **kw: Krum(num_malicious_clients=1, num_clients_to_keep=3, **kw),
    "Bulyan": lambda **kw: Ordered(num_malicious_clients=1, to_keep=0, **kw),
    "QFedAvg": lambda **kw: QFedAvg(q_param=0.5, qffl_learning_rate=0.3, **kw),
}


class LineClient(NumPyClient):
    def __init__(self, context: Context):
        self.number = context.node_config["partition-id"]
        self.count = context.state.metrics_records.setdefault("count", MetricsRecord({"n": 0}))
        self.x, self.y = line(self.number, examples(self.number))

    def fit(self, parameters, config):
        self.count["n"] += 1
        shrink = 1 / (1 + config.get("proximal_mu", 0.0))
        weights = descend(parameters, self.x, self.y, lr=0.1 * shrink / self.count["n"])
        return weights, len(self.y), {"n": self.count["n"]}

    def evaluate(self, parameters, config):
        return squared_error(parameters, self.x, self.y), len(self.y), {}


def app_of(name):
    def evaluate(server_round, arrays, config):
        keep(**{f"{name} {server_round}": arrays})
        return squared_error(arrays, *line(50)), {}

    def server_fn(context: Context):
        strategy = STRATEGIES[name](
            min_fit_clients=NODES,
            min_evaluate_clients=NODES,
            min_available_clients=NODES,
            evaluate_fn=evaluate,
            initial_parameters=first(),
            fit_metrics_aggregation_fn=lambda pairs: {"n": pairs[0][1]["n"], "of": len(pairs)},
        )
        return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=3))

    return ServerApp(server_fn=server_fn)


client_app = ClientApp(client_fn=lambda context: LineClient(context).to_client())


def run():
    for name in STRATEGIES:
        run_simulation(app_of(name), client_app, num_supernodes=NODES)
