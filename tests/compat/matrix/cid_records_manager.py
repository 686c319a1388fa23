"""1.8: clients without arrays, and a client manager that draws by what they say of themselves."""

from keeping import keep

import flwr as fl
from flwr.common import (
    Code,
    EvaluateRes,
    FitRes,
    GetPropertiesIns,
    GetPropertiesRes,
    Parameters,
    Status,
)
from flwr.server.client_manager import SimpleClientManager

OK = Status(Code.OK, "")


class TextClient(fl.client.Client):
    def __init__(self, cid):
        self.cid = int(cid)

    def get_properties(self, ins):
        return GetPropertiesRes(OK, {"battery": 100 - 20 * self.cid, "number": self.cid})

    def fit(self, ins):
        text = ins.parameters.tensors[0] + b"abcd"[self.cid : self.cid + 1]
        return FitRes(OK, Parameters([text], "text"), 1 + self.cid, {"number": self.cid})

    def evaluate(self, ins):
        return EvaluateRes(OK, float(len(ins.parameters.tensors[0])), 1, {})


def client_fn(cid: str):
    return TextClient(cid)


class ByBattery(SimpleClientManager):
    """Draws the clients with the fullest batteries, in order."""

    def __init__(self):
        super().__init__()
        self.registered = 0
        self.batteries = {}

    def register(self, client):
        self.registered += 1
        return super().register(client)

    def sample(self, num_clients, min_num_clients=None, criterion=None):
        self.wait_for(min_num_clients or num_clients)
        for cid, client in self.all().items():
            if cid not in self.batteries:
                answer = client.get_properties(GetPropertiesIns({}), timeout=None, group_id=0)
                self.batteries[cid] = answer.properties["battery"]
        order = sorted(self.clients, key=lambda cid: -self.batteries[cid])
        return [self.clients[cid] for cid in order[:num_clients]]


class Joining(fl.server.strategy.FedAvg):
    def aggregate_fit(self, server_round, results, failures):
        results = sorted(results, key=lambda pair: pair[1].metrics["number"])
        texts = [res.parameters.tensors[0] for _, res in results]
        keep(**{f"round {server_round}": [text.decode() for text in texts]})
        return Parameters([b"".join(texts)], "text"), {}


def run():
    manager = ByBattery()
    history = fl.simulation.start_simulation(
        client_fn=client_fn,
        num_clients=4,
        config=fl.server.ServerConfig(num_rounds=3),
        client_manager=manager,
        strategy=Joining(
            fraction_fit=0.5,
            fraction_evaluate=0.25,
            min_evaluate_clients=1,
            min_available_clients=4,
            initial_parameters=Parameters([b"-"], "text"),
        ),
    )
    batteries = sorted(manager.batteries.values())
    keep(history=history, registered=manager.registered, batteries=batteries)
