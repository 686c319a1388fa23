"""1.8: scikit-learn under a strategy that bears with failures, up to a half of the clients."""

import numpy as np
from keeping import keep
from sklearn.linear_model import SGDRegressor
from tasks import line

import flwr as fl
from flwr.server.strategy import FaultTolerantFedAvg


class LineClient(fl.client.NumPyClient):
    def __init__(self, cid):
        self.cid = int(cid)
        self.x, self.y = line(cid)

    def get_parameters(self, config):
        return [np.zeros(3), np.zeros(1)]

    def model(self, parameters):
        model = SGDRegressor(shuffle=False, learning_rate="constant", eta0=0.01)
        model.partial_fit(self.x[:1], self.y[:1])  # makes the attributes
        model.coef_, model.intercept_ = (np.array(array) for array in parameters)
        return model

    def fit(self, parameters, config):
        # In round 1 one of the four fails, in round 2 three do, in round 3 two.
        if self.cid < [1, 3, 2][config["round"] - 1]:
            raise ValueError("the data are not there yet")
        model = self.model(parameters)
        model.partial_fit(self.x, self.y)
        return [model.coef_, model.intercept_], len(self.y), {}

    def evaluate(self, parameters, config):
        if self.cid < 3 and config["round"] == 3:
            raise ValueError("the data are gone")
        loss = float(np.mean((self.model(parameters).predict(self.x) - self.y) ** 2))
        return loss, len(self.y), {}


def client_fn(cid: str):
    return LineClient(cid).to_client()


def evaluate(server_round, arrays, config):
    keep(**{f"arrays {server_round}": arrays})


def run():
    def config(server_round):
        return {"round": server_round}

    history = fl.simulation.start_simulation(
        client_fn=client_fn,
        num_clients=4,
        config=fl.server.ServerConfig(num_rounds=3, round_timeout=60.0),
        strategy=FaultTolerantFedAvg(
            min_fit_clients=4,
            min_evaluate_clients=4,
            min_available_clients=4,
            min_completion_rate_fit=0.5,
            evaluate_fn=evaluate,
            on_fit_config_fn=config,
            on_evaluate_config_fn=config,
        ),
    )
    keep(history=history)
