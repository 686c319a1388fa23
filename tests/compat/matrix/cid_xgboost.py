"""1.8: boosted trees, bagged."""

import numpy as np
import xgboost as xgb
from keeping import keep
from tasks import two_classes

import flwr as fl
from flwr.common import Code, EvaluateRes, FitRes, Parameters, Status

PARAMS = {
    "objective": "binary:logistic",
    "base_score": 0.5,
    "max_depth": 2,
    "eta": 0.1,
    "nthread": 1,
    "tree_method": "hist",
}


def loaded(model):
    booster = xgb.Booster(params=PARAMS)
    booster.load_model(bytearray(model))
    return booster


class TreeClient(fl.client.Client):
    def __init__(self, cid):
        self.data = xgb.DMatrix(*two_classes(cid)[:1], label=two_classes(cid)[1])

    def fit(self, ins):
        if not ins.parameters.tensors:
            new = xgb.train(PARAMS, self.data, num_boost_round=1)
        else:
            whole = loaded(ins.parameters.tensors[0])
            whole.update(self.data, whole.num_boosted_rounds())
            rounds = whole.num_boosted_rounds()
            new = whole[rounds - 1 : rounds]
        model = Parameters(tensor_type="", tensors=[bytes(new.save_raw("json"))])
        return FitRes(Status(Code.OK, ""), model, self.data.num_row(), {})

    def evaluate(self, ins):
        booster = loaded(ins.parameters.tensors[0])
        result = float(booster.eval(self.data, "valid").split(":")[-1])
        return EvaluateRes(Status(Code.OK, ""), 0.0, self.data.num_row(), {"logloss": result})


def client_fn(cid: str):
    return TreeClient(cid)


def evaluate(server_round, parameters, config):
    if server_round == 0:
        return None
    booster = loaded(parameters.tensors[0])
    x, y = two_classes(77)
    margins = booster.predict(xgb.DMatrix(x), output_margin=True)
    trees = len(booster.get_dump())
    keep(**{f"round {server_round}": np.sort(margins), f"trees {server_round}": trees})
    return float(np.mean((margins > 0) != y)), {"trees": trees}


def run():
    def mean(metrics):
        total = sum(count for count, _ in metrics)
        return {"logloss": sum(count * values["logloss"] for count, values in metrics) / total}

    history = fl.simulation.start_simulation(
        client_fn=client_fn,
        num_clients=3,
        config=fl.server.ServerConfig(num_rounds=3),
        strategy=fl.server.strategy.FedXgbBagging(
            evaluate_function=evaluate,
            evaluate_metrics_aggregation_fn=mean,
            min_fit_clients=3,
            min_evaluate_clients=3,
            min_available_clients=3,
            initial_parameters=Parameters(tensor_type="", tensors=[]),
        ),
    )
    keep(history=history)
