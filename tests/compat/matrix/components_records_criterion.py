"""1.13: clients that spend a budget which they keep in their state, and a criterion that asks."""

from keeping import keep

from flwr.client import Client, ClientApp
from flwr.common import (
    Code,
    ConfigsRecord,
    Context,
    FitIns,
    FitRes,
    GetPropertiesIns,
    GetPropertiesRes,
    MetricsRecord,
    Parameters,
    Status,
)
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.criterion import Criterion
from flwr.server.strategy import FedAvg
from flwr.simulation import run_simulation

OK = Status(Code.OK, "")


class Spending(Client):
    def __init__(self, context: Context):
        self.number = context.node_config["partition-id"]
        self.state = context.state
        if "budget" not in self.state.metrics_records:
            self.state.metrics_records["budget"] = MetricsRecord({"left": 1 + self.number})
            self.state.configs_records["rounds"] = ConfigsRecord({"spent in": []})

    @property
    def budget(self):
        return self.state.metrics_records["budget"]

    def get_properties(self, ins):
        return GetPropertiesRes(OK, {"left": self.budget["left"]})

    def fit(self, ins):
        self.budget["left"] -= 1
        rounds = self.state.configs_records["rounds"]
        rounds["spent in"] = [*rounds["spent in"], ins.config["round"]]
        metrics = {"number": self.number, "spent in": str(rounds["spent in"])}
        return FitRes(OK, Parameters([b"x" * self.number], "bytes"), 1, metrics)


class HasBudget(Criterion):
    def __init__(self, server_round):
        self.server_round = server_round

    def select(self, client):
        answer = client.get_properties(GetPropertiesIns({}), None, self.server_round)
        return answer.properties["left"] > 0


class Budgeted(FedAvg):
    def configure_fit(self, server_round, parameters, client_manager):
        wanted = [4, 3, 2, 1][server_round - 1]
        clients = client_manager.sample(
            num_clients=wanted, min_num_clients=4, criterion=HasBudget(server_round)
        )
        return [(client, FitIns(parameters, {"round": server_round})) for client in clients]

    def aggregate_fit(self, server_round, results, failures):
        told = {str(r.metrics["number"]): r.metrics["spent in"] for _, r in results}
        sizes = sorted(len(res.parameters.tensors[0]) for _, res in results)
        keep(**{f"round {server_round}": told, f"sizes {server_round}": sizes})
        return None, {"trained": len(results)}


def server_fn(context: Context):
    strategy = Budgeted(
        fraction_evaluate=0.0,
        min_available_clients=4,
        initial_parameters=Parameters([b""], "bytes"),
    )
    return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=4))


client_app = ClientApp(client_fn=Spending)
server_app = ServerApp(server_fn=server_fn)


def run():
    run_simulation(server_app, client_app, num_supernodes=4)
