"""1.13: scikit-learn clients that go on from their own intercept, and their evaluation judged."""

import warnings

import numpy as np
from keeping import keep
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from tasks import digits

from flwr.client import ClientApp, NumPyClient
from flwr.common import Context, NDArrays, ParametersRecord, array_from_numpy
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.simulation import run_simulation


class DigitsClient(NumPyClient):
    """Sends the coefficients; the intercept stays with the client."""

    def __init__(self, context: Context):
        self.train, self.test = digits(context.node_config["partition-id"], of=10)
        self.state = context.state
        self.intercept = np.zeros(10)
        if "intercept" in self.state.parameters_records:
            self.intercept = self.state.parameters_records["intercept"]["value"].numpy()

    def get_parameters(self, config) -> NDArrays:
        return [np.zeros((10, 64))]

    def model(self, parameters: NDArrays):
        model = LogisticRegression(max_iter=4, warm_start=True)
        model.classes_ = np.arange(10)
        model.coef_, model.intercept_ = parameters[0], self.intercept
        return model

    def fit(self, parameters: NDArrays, config):
        model = self.model(parameters)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(*self.train)
        value = array_from_numpy(model.intercept_)
        self.state.parameters_records["intercept"] = ParametersRecord({"value": value})
        return [model.coef_], len(self.train[1]), {}

    def evaluate(self, parameters: NDArrays, config):
        x, y = self.test
        model = self.model(parameters)
        loss = log_loss(y, model.predict_proba(x), labels=np.arange(10))
        return (
            loss,
            len(y),
            {"accuracy": model.score(x, y), "norm": float(abs(self.intercept).max())},
        )


class Judged(FedAvg):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.losses = []

    def aggregate_evaluate(self, server_round, results, failures):
        loss, metrics = super().aggregate_evaluate(server_round, results, failures)
        self.losses.append(loss)
        if server_round == 2:
            return None, {"lost": True}
        keep(losses=self.losses)
        accuracies = sorted(res.metrics["accuracy"] for _, res in results)
        norms = sorted(res.metrics["norm"] for _, res in results)
        return loss * 2, {**metrics, "accuracies": accuracies, "norms": norms}


def on_server(server_round, arrays, config):
    keep(arrays=arrays)


def server_fn(context: Context) -> ServerAppComponents:
    strategy = Judged(
        min_available_clients=3, min_fit_clients=3, min_evaluate_clients=3, evaluate_fn=on_server
    )
    return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=3))


client_app = ClientApp(client_fn=lambda context: DigitsClient(context).to_client())
server_app = ServerApp(server_fn=server_fn)


def run():
    run_simulation(server_app, client_app, num_supernodes=3)
