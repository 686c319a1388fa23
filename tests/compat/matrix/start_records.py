"""1.0: clients with a format of their own, one of which refuses, under a server of one's own."""

import json
import sys
from logging import INFO

from keeping import keep
from starting import clients_of

import flwr as fl
from flwr.common import (
    Code,
    EvaluateRes,
    FitRes,
    GetParametersRes,
    GetPropertiesRes,
    Parameters,
    Status,
)
from flwr.common.logger import log
from flwr.server import Server, SimpleClientManager
from flwr.server.strategy import FedAvg


def packed(values):
    return Parameters(tensors=[json.dumps(values).encode()], tensor_type="json")


def unpacked(parameters):
    assert parameters.tensor_type == "json"
    return json.loads(parameters.tensors[0])


class CountingClient(fl.client.Client):
    def __init__(self, number):
        self.number = number

    def get_properties(self, ins):
        return GetPropertiesRes(Status(Code.OK, ""), {"number": self.number, **ins.config})

    def get_parameters(self, ins):
        return GetParametersRes(Status(Code.OK, ""), packed({"total": 0, "seen": []}))

    def fit(self, ins):
        if self.number == 1 and ins.config["round"] == 2:
            return FitRes(Status(Code.FIT_NOT_IMPLEMENTED, "not today"), packed({}), 0, {})
        values = unpacked(ins.parameters)
        values["total"] += self.number + 1
        return FitRes(Status(Code.OK, "done"), packed(values), 10, {"number": self.number})

    def evaluate(self, ins):
        total = unpacked(ins.parameters)["total"]
        return EvaluateRes(Status(Code.OK, ""), 1.0 / (1 + total), 5, {"total": total})


class Summing(FedAvg):
    """Adds what the clients have counted; whoever refused is told about."""

    def aggregate_fit(self, server_round, results, failures):
        refused = sorted((res.status.message, res.status.code.name) for _, res in failures)
        numbers = sorted(res.metrics["number"] for _, res in results)
        total = sum(unpacked(res.parameters)["total"] for _, res in results)
        return packed({"total": total, "seen": numbers, "refused": refused}), {}


class LoggingServer(Server):
    def fit_round(self, server_round, timeout):
        log(INFO, "this is round %s", server_round)
        result = super().fit_round(server_round, timeout)
        if result is not None:
            parameters, _, (results, failures) = result
            keep(**{f"round {server_round}": unpacked(parameters)})
            keep(**{f"counts {server_round}": [len(results), len(failures)]})
        return result


def run():
    with clients_of(__file__, 2) as address:
        strategy = Summing(on_fit_config_fn=lambda server_round: {"round": server_round})
        history = fl.server.start_server(
            server_address=address,
            config=fl.server.ServerConfig(num_rounds=3),
            server=LoggingServer(client_manager=SimpleClientManager(), strategy=strategy),
        )
    keep(history=history)


if __name__ == "__main__":
    fl.client.start_client(server_address=sys.argv[2], client=CountingClient(int(sys.argv[1])))
