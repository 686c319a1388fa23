"""1.13: a server with a first model of its own that stops early, over an adaptive strategy."""

import torch
from keeping import keep
from nets import Small, made, test, train
from tasks import digits

from flwr.client import ClientApp, NumPyClient
from flwr.common import Context, Parameters, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.client_manager import SimpleClientManager
from flwr.server.server import Server
from flwr.server.strategy import FedAdam
from flwr.simulation import run_simulation


def arrays_of(net):
    return [value.detach().numpy() for value in net.state_dict().values()]


def load(net, arrays):
    names = net.state_dict().keys()
    net.load_state_dict({n: torch.tensor(a) for n, a in zip(names, arrays, strict=True)})


class DigitsClient(NumPyClient):
    def __init__(self, context: Context):
        self.train, _ = digits(context.node_config["partition-id"], of=6)
        self.net = made(Small)

    def fit(self, parameters, config):
        load(self.net, parameters)
        train(self.net, self.train)
        return arrays_of(self.net), len(self.train[1]), {}


class StoppingServer(Server):
    def _get_initial_parameters(self, server_round, timeout):
        assert server_round == 0
        return self.strategy.initialize_parameters(self.client_manager()) or Parameters([], "")

    def fit(self, num_rounds, timeout):
        self.rounds = 0
        return super().fit(num_rounds, timeout)

    def fit_round(self, server_round, timeout):
        if server_round > 3:
            return None  # enough
        self.rounds += 1
        result = super().fit_round(server_round, timeout)
        keep(arrays=parameters_to_ndarrays(result[0]), rounds=self.rounds)
        return result


def evaluate(server_round, arrays, config):
    net = made(Small)
    load(net, arrays)
    loss, accuracy = test(net, digits(5, 6)[1])
    return loss, {"accuracy": accuracy}


def server_fn(context: Context):
    strategy = FedAdam(
        eta=0.03,
        tau=1e-3,
        fraction_evaluate=0.0,
        min_fit_clients=3,
        min_available_clients=3,
        evaluate_fn=evaluate,
        initial_parameters=ndarrays_to_parameters(arrays_of(made(Small))),
    )
    server = StoppingServer(client_manager=SimpleClientManager(), strategy=strategy)
    return ServerAppComponents(server=server, config=ServerConfig(num_rounds=5))


client_app = ClientApp(client_fn=lambda context: DigitsClient(context).to_client())
server_app = ServerApp(server_fn=server_fn)


def run():
    run_simulation(server_app, client_app, num_supernodes=3)
