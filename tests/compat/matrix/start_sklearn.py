"""1.0: scikit-learn clients, under a strategy that also reports the worst accuracy."""

import sys

import numpy as np
from keeping import keep
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from starting import clients_of
from tasks import digits

import flwr as fl


class DigitsClient(fl.client.NumPyClient):
    def __init__(self, number):
        self.train, self.test = digits(number, of=8)
        self.model = LogisticRegression(max_iter=5, warm_start=True, tol=1e-3)
        self.model.classes_ = np.arange(10)
        self.model.coef_ = np.zeros((10, 64))
        self.model.intercept_ = np.zeros(10)

    def get_parameters(self, config):
        return [self.model.coef_, self.model.intercept_]

    def fit(self, parameters, config):
        self.model.coef_, self.model.intercept_ = parameters
        self.model.fit(*self.train)
        return self.get_parameters(config), len(self.train[1]), {}

    def evaluate(self, parameters, config):
        self.model.coef_, self.model.intercept_ = parameters
        x, y = self.test
        loss = log_loss(y, self.model.predict_proba(x), labels=np.arange(10))
        return float(loss), len(y), {"accuracy": float(self.model.score(x, y))}


class WithWorst(fl.server.strategy.FedAvg):
    def aggregate_evaluate(self, server_round, results, failures):
        loss, _ = super().aggregate_evaluate(server_round, results, failures)
        accuracies = [res.metrics["accuracy"] for _, res in results]
        return loss, {"worst": min(accuracies), "clients": len(results)}


def run():
    with clients_of(__file__, 2) as address:
        history = fl.server.start_server(
            server_address=address,
            config=fl.server.ServerConfig(num_rounds=2),
            strategy=WithWorst(),
        )
    keep(history=history)


if __name__ == "__main__":
    import warnings

    warnings.simplefilter("ignore")  # it is not meant to converge in five iterations
    client = DigitsClient(int(sys.argv[1])).to_client()
    fl.client.start_client(server_address=sys.argv[2], client=client)
