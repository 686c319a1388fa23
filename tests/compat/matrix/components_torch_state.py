"""1.13: the PyTorch quickstart: a network with batch normalisation, sent through its state_dict."""

from collections import OrderedDict

import torch
from keeping import keep
from nets import Normalised, made, test, train
from tasks import digits

from flwr.client import ClientApp, NumPyClient
from flwr.common import Context, Metrics, ndarrays_to_parameters
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.simulation import run_simulation


def get_weights(net):
    return [val.cpu().numpy() for _, val in net.state_dict().items()]


def set_weights(net, parameters):
    params_dict = zip(net.state_dict().keys(), parameters, strict=True)
    state_dict = OrderedDict({k: torch.tensor(v) for k, v in params_dict})
    net.load_state_dict(state_dict, strict=True)


class FlowerClient(NumPyClient):
    def __init__(self, net, trainloader, valloader, local_epochs):
        self.net = net
        self.trainloader = trainloader
        self.valloader = valloader
        self.local_epochs = local_epochs

    def fit(self, parameters, config):
        set_weights(self.net, parameters)
        loss = train(self.net, self.trainloader, lr=config["lr"], epochs=self.local_epochs)
        return get_weights(self.net), len(self.trainloader[1]), {"train_loss": loss}

    def evaluate(self, parameters, config):
        set_weights(self.net, parameters)
        loss, accuracy = test(self.net, self.valloader)
        return loss, len(self.valloader[1]), {"accuracy": accuracy}


def client_fn(context: Context):
    partition_id = context.node_config["partition-id"]
    num_partitions = context.node_config["num-partitions"]
    trainloader, valloader = digits(partition_id, num_partitions)
    local_epochs = context.run_config.get("local-epochs", 2)
    return FlowerClient(made(Normalised), trainloader, valloader, local_epochs).to_client()


app = ClientApp(client_fn)


def weighted_average(metrics: list[tuple[int, Metrics]]) -> Metrics:
    accuracies = [num_examples * m["accuracy"] for num_examples, m in metrics]
    examples = [num_examples for num_examples, _ in metrics]
    return {"accuracy": sum(accuracies) / sum(examples)}


def evaluate(server_round, parameters, config):
    names = made(Normalised).state_dict().keys()
    keep(**dict(zip(names, parameters, strict=True)))
    net = made(Normalised)
    set_weights(net, parameters)
    loss, accuracy = test(net, digits(0, 1)[1])
    return loss, {"accuracy": accuracy}


def server_fn(context: Context):
    num_rounds = context.run_config.get("num-server-rounds", 3)
    ndarrays = get_weights(made(Normalised))
    strategy = FedAvg(
        fraction_fit=1.0,
        fraction_evaluate=1.0,
        min_available_clients=2,
        evaluate_fn=evaluate,
        on_fit_config_fn=lambda server_round: {"lr": 0.2 / server_round},
        evaluate_metrics_aggregation_fn=weighted_average,
        initial_parameters=ndarrays_to_parameters(ndarrays),
    )
    config = ServerConfig(num_rounds=num_rounds)
    return ServerAppComponents(strategy=strategy, config=config)


server = ServerApp(server_fn=server_fn)


def run():
    run_simulation(server_app=server, client_app=app, num_supernodes=2)
