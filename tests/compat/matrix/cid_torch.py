"""1.8: a PyTorch simulation whose clients send their parameters as arrays."""

import torch
from keeping import keep
from nets import Small, made, test, train
from tasks import digits, mean_of

import flwr as fl


def get_arrays(model):
    return [parameter.detach().cpu().numpy() for parameter in model.parameters()]


def set_arrays(model, arrays):
    with torch.no_grad():
        for parameter, array in zip(model.parameters(), arrays, strict=True):
            parameter.copy_(torch.from_numpy(array))


class FlowerClient(fl.client.NumPyClient):
    def __init__(self, cid):
        self.model = made(Small)
        self.train, self.test = digits(int(cid))

    def get_parameters(self, config):
        return get_arrays(self.model)

    def fit(self, parameters, config):
        set_arrays(self.model, parameters)
        train(self.model, self.train)
        return get_arrays(self.model), len(self.train[1]), {}

    def evaluate(self, parameters, config):
        set_arrays(self.model, parameters)
        loss, accuracy = test(self.model, self.test)
        return float(loss), len(self.test[1]), {"accuracy": float(accuracy)}


def client_fn(cid: str):
    return FlowerClient(cid).to_client()


def evaluate(server_round, parameters, config):
    keep(arrays=parameters)


def run():
    history = fl.simulation.start_simulation(
        client_fn=client_fn,
        num_clients=4,
        config=fl.server.ServerConfig(num_rounds=3),
        strategy=fl.server.strategy.FedAvg(
            min_fit_clients=4,
            min_evaluate_clients=4,
            min_available_clients=4,
            evaluate_fn=evaluate,
            evaluate_metrics_aggregation_fn=mean_of("accuracy"),
        ),
        client_resources={"num_cpus": 1, "num_gpus": 0.0},
    )
    keep(history=history)
