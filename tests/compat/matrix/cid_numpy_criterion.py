"""1.8: a criterion that lets only some clients train."""

from keeping import keep
from tasks import descend, examples, line, squared_error, zeros

from flwr.client import ClientApp, NumPyClient
from flwr.common import FitIns, GetPropertiesIns, ndarrays_to_parameters
from flwr.server import ServerApp, ServerConfig
from flwr.server.criterion import Criterion
from flwr.server.strategy import FedAvg
from flwr.simulation import run_simulation


class LineClient(NumPyClient):
    def __init__(self, cid):
        self.cid = int(cid)
        self.x, self.y = line(cid, examples(cid))

    def get_properties(self, config):
        return {"number": self.cid}

    def fit(self, parameters, config):
        return descend(parameters, self.x, self.y), len(self.y), {"number": self.cid}

    def evaluate(self, parameters, config):
        loss = squared_error(parameters, self.x, self.y)
        return loss, len(self.y), {"number": self.cid}


def client_fn(cid: str):
    return LineClient(cid).to_client()


class Every(Criterion):
    def __init__(self, step):
        self.step = step

    def select(self, client):
        answer = client.get_properties(GetPropertiesIns({}), timeout=30.0, group_id=1)
        return answer.properties["number"] % self.step == 0


class Selective(FedAvg):
    def configure_fit(self, server_round, parameters, client_manager):
        clients = client_manager.sample(2, min_num_clients=4, criterion=Every(2))
        if server_round == 3:
            clients = client_manager.sample(3, min_num_clients=4, criterion=Every(2))  # too many
        return [(client, FitIns(parameters, {})) for client in clients]


def numbers(pairs):
    return {"numbers": sorted(values["number"] for _, values in pairs)}


def on_server(server_round, arrays, config):
    keep(**{f"arrays {server_round}": arrays})
    return squared_error(arrays, *line(50)), {}


client_app = ClientApp(client_fn)
server_app = ServerApp(
    config=ServerConfig(num_rounds=4),
    strategy=Selective(
        evaluate_fn=on_server,
        fit_metrics_aggregation_fn=numbers,
        evaluate_metrics_aggregation_fn=numbers,
        initial_parameters=ndarrays_to_parameters(zeros()),
        min_fit_clients=4,
        min_evaluate_clients=4,
        min_available_clients=4,
    ),
)


def run():
    run_simulation(
        server_app,
        client_app,
        num_supernodes=4,
        backend_config={"client_resources": {"num_cpus": 1, "num_gpus": 0.0}},
    )
