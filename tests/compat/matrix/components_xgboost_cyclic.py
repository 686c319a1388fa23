"""1.13: boosted trees that go from client to client, in the order of their numbers."""

import numpy as np
import xgboost as xgb
from keeping import keep
from tasks import two_classes

from flwr.client import Client, ClientApp
from flwr.common import (
    Code,
    Context,
    EvaluateIns,
    EvaluateRes,
    FitIns,
    FitRes,
    GetPropertiesIns,
    GetPropertiesRes,
    Parameters,
    Status,
)
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedXgbCyclic
from flwr.simulation import run_simulation

PARAMS = {
    "objective": "binary:logistic",
    "base_score": 0.5,
    "max_depth": 2,
    "eta": 0.3,
    "nthread": 1,
    "tree_method": "exact",
    "eval_metric": "auc",
}
OK = Status(Code.OK, "OK")


class TreeClient(Client):
    def __init__(self, number):
        self.number = number
        x, y = two_classes(number)
        self.data = xgb.DMatrix(x, label=y)

    def get_properties(self, ins: GetPropertiesIns) -> GetPropertiesRes:
        return GetPropertiesRes(OK, {"number": self.number})

    def fit(self, ins: FitIns) -> FitRes:
        if ins.config["first"]:
            booster = xgb.train(PARAMS, self.data, num_boost_round=1)
        else:
            booster = xgb.Booster(params=PARAMS)
            booster.load_model(bytearray(ins.parameters.tensors[0]))
            booster.update(self.data, booster.num_boosted_rounds())
        model = bytes(booster.save_raw("json"))
        return FitRes(OK, Parameters([model], ""), self.data.num_row(), {})

    def evaluate(self, ins: EvaluateIns) -> EvaluateRes:
        booster = xgb.Booster(params=PARAMS)
        booster.load_model(bytearray(ins.parameters.tensors[0]))
        auc = float(booster.eval(self.data).split(":")[-1])
        return EvaluateRes(OK, 0.0, self.data.num_row(), {"AUC": auc, "number": self.number})


def numbered(client_manager, server_round):
    client_manager.wait_for(3)
    by_number = {}
    for client in client_manager.all().values():
        answer = client.get_properties(GetPropertiesIns({}), timeout=None, group_id=server_round)
        by_number[answer.properties["number"]] = client
    return by_number[(server_round - 1) % 3]


class InOrder(FedXgbCyclic):
    def configure_fit(self, server_round, parameters, client_manager):
        client = numbered(client_manager, server_round)
        return [(client, FitIns(parameters, {"first": server_round == 1}))]

    def configure_evaluate(self, server_round, parameters, client_manager):
        pairs = super().configure_evaluate(server_round, parameters, client_manager)
        assert len(pairs) == 1
        return [(numbered(client_manager, server_round), pairs[0][1])]

    def aggregate_fit(self, server_round, results, failures):
        parameters, metrics = super().aggregate_fit(server_round, results, failures)
        booster = xgb.Booster()
        booster.load_model(bytearray(parameters.tensors[0]))
        margins = booster.predict(xgb.DMatrix(two_classes(77)[0]), output_margin=True)
        keep(margins=np.asarray(margins), trees=booster.num_boosted_rounds())
        return parameters, metrics


def aucs(metrics):
    return {"AUC": [values["AUC"] for _, values in metrics], "of": metrics[0][1]["number"]}


def server_fn(context: Context):
    strategy = InOrder(
        evaluate_metrics_aggregation_fn=aucs,
        initial_parameters=Parameters(tensor_type="", tensors=[]),
        min_fit_clients=3,
        min_evaluate_clients=3,
        min_available_clients=3,
    )
    return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=4))


client_app = ClientApp(lambda context: TreeClient(context.node_config["partition-id"]))
server_app = ServerApp(server_fn=server_fn)


def run():
    run_simulation(server_app, client_app, num_supernodes=3)
