"""1.13: a client manager that does not draw those again who have failed."""

from keeping import keep
from tasks import descend, examples, line, squared_error, zeros

from flwr.client import ClientApp, NumPyClient
from flwr.common import Context, GetPropertiesIns, ndarrays_to_parameters
from flwr.server import ServerApp, ServerAppComponents, ServerConfig, SimpleClientManager
from flwr.server.strategy import FedAvg
from flwr.simulation import run_simulation


class LineClient(NumPyClient):
    def __init__(self, context: Context):
        self.number = context.node_config["partition-id"]
        self.x, self.y = line(self.number, examples(self.number))

    def get_properties(self, config):
        return {"reliable": self.number != 2}

    def fit(self, parameters, config):
        if self.number == 2:
            raise OSError("no space left on this device")
        return descend(parameters, self.x, self.y), len(self.y), {"number": self.number}

    def evaluate(self, parameters, config):
        return squared_error(parameters, self.x, self.y), len(self.y), {}


class Trusting(SimpleClientManager):
    def __init__(self):
        super().__init__()
        self.distrusted = set()

    def num_available(self):
        return len(self.clients) - len(self.distrusted)

    def sample(self, num_clients, min_num_clients=None, criterion=None):
        self.wait_for(5)
        return [self.clients[cid] for cid in sorted(self.clients.keys() - self.distrusted)]


manager = Trusting()


class Learning(FedAvg):
    """Asks everybody after a round with failures whom to trust."""

    def aggregate_fit(self, server_round, results, failures):
        if failures:
            for cid, client in manager.all().items():
                answer = client.get_properties(GetPropertiesIns({}), None, server_round)
                if not answer.properties["reliable"]:
                    manager.distrusted.add(cid)
        keep(**{f"failures {server_round}": len(failures)}, distrusted=len(manager.distrusted))
        return super().aggregate_fit(server_round, results, failures)


def numbers(metrics):
    return {"numbers": str(sorted(values["number"] for _, values in metrics))}


def on_server(server_round, arrays, config):
    keep(arrays=arrays)


def server_fn(context: Context):
    strategy = Learning(
        min_available_clients=5,
        evaluate_fn=on_server,
        fit_metrics_aggregation_fn=numbers,
        initial_parameters=ndarrays_to_parameters(zeros()),
    )
    return ServerAppComponents(
        strategy=strategy, client_manager=manager, config=ServerConfig(num_rounds=3)
    )


client_app = ClientApp(client_fn=lambda context: LineClient(context).to_client())
server_app = ServerApp(server_fn=server_fn)


def run():
    run_simulation(server_app, client_app, num_supernodes=5)
