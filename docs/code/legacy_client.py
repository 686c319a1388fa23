import sys

import numpy as np

import flwr as fl


class MeanClient(fl.client.NumPyClient):
    """Moves half of the way to the mean of its own numbers, which are all the same."""

    def __init__(self, number: float) -> None:
        self.data = np.full(10, number)

    def get_parameters(self, config):
        return [np.zeros(1)]

    def fit(self, parameters, config):
        return [(parameters[0] + self.data.mean()) / 2], len(self.data), {}

    def evaluate(self, parameters, config):
        return float(np.mean((self.data - parameters[0]) ** 2)), len(self.data), {}


client = MeanClient(float(sys.argv[2])).to_client()
fl.client.start_client(server_address=sys.argv[1], client=client)
