"""1.0: a server and clients started one by one, with nothing of their own but the training."""

import sys

from keeping import keep
from starting import clients_of
from tasks import descend, examples, line, mean_of, squared_error, zeros

import flwr as fl


class LineClient(fl.client.NumPyClient):
    def __init__(self, number):
        self.x, self.y = line(number, examples(number))

    def get_parameters(self, config):
        return zeros()

    def fit(self, parameters, config):
        weights = descend(parameters, self.x, self.y)
        return weights, len(self.y), {}

    def evaluate(self, parameters, config):
        loss = squared_error(parameters, self.x, self.y)
        return loss, len(self.y), {"rmse": loss**0.5}


def run():
    with clients_of(__file__, 2) as address:
        history = fl.server.start_server(
            server_address=address,
            config=fl.server.ServerConfig(num_rounds=3),
            strategy=fl.server.strategy.FedAvg(evaluate_metrics_aggregation_fn=mean_of("rmse")),
        )
    keep(history=history)


if __name__ == "__main__":
    fl.client.start_numpy_client(server_address=sys.argv[2], client=LineClient(int(sys.argv[1])))
