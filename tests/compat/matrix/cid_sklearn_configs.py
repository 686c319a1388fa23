"""1.8: apps of a client_fn and a strategy, which sends half of the clients another config."""

import warnings

import numpy as np
from keeping import keep
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from tasks import digits

from flwr.client import ClientApp, NumPyClient
from flwr.common import FitIns, GetPropertiesIns, ndarrays_to_parameters
from flwr.server import ServerApp, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.simulation import run_simulation


class DigitsClient(NumPyClient):
    def __init__(self, cid):
        self.cid = cid
        self.train, self.test = digits(cid, of=12)

    def get_properties(self, config):
        return {"partition": int(self.cid), "asked in": config["round"]}

    def fit(self, parameters, config):
        model = LogisticRegression(C=config["C"], max_iter=3, warm_start=True)
        model.classes_ = np.arange(10)
        model.coef_, model.intercept_ = parameters
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(*self.train)
        score = float(model.score(*self.test))
        return [model.coef_, model.intercept_], len(self.train[1]), {"score": score, **config}


def client_fn(cid: str):
    return DigitsClient(cid).to_client()


class HalfOfThem(FedAvg):
    def configure_fit(self, server_round, parameters, client_manager):
        pairs = super().configure_fit(server_round, parameters, client_manager)
        changed = []
        for client, fit_ins in pairs:
            ask = GetPropertiesIns({"round": server_round})
            properties = client.get_properties(ask, None, server_round).properties
            assert properties["asked in"] == server_round
            config = {"C": 0.5 if properties["partition"] % 2 else 2.0}
            changed.append((client, FitIns(fit_ins.parameters, config)))
        return changed


def metrics(pairs):
    return {
        "regularisation": sorted(values["C"] for _, values in pairs),
        "scores": sorted(values["score"] for _, values in pairs),
    }


def on_server(server_round, arrays, config):
    keep(**{f"arrays {server_round}": arrays})
    return float(np.abs(arrays[0]).sum()), {"config": len(config)}


client_app = ClientApp(client_fn=client_fn)
server_app = ServerApp(
    config=ServerConfig(num_rounds=2),
    strategy=HalfOfThem(
        fraction_evaluate=0.0,
        min_fit_clients=4,
        min_available_clients=4,
        initial_parameters=ndarrays_to_parameters([np.zeros((10, 64)), np.zeros(10)]),
        evaluate_fn=on_server,
        fit_metrics_aggregation_fn=metrics,
    ),
)


def run():
    run_simulation(server_app, client_app, num_supernodes=4)
