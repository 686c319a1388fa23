"""1.13: a mod that checks what a PyTorch client makes, and refuses one of them."""

import numpy as np
import torch
from keeping import keep
from nets import Small, made, train
from tasks import digits

from flwr.client import ClientApp, NumPyClient
from flwr.common import Context, Error, Message, ndarrays_to_parameters
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.simulation import run_simulation


class DigitsClient(NumPyClient):
    def __init__(self, number):
        self.number = number
        self.train, _ = digits(number, of=6)
        self.net = made(Small)

    def fit(self, parameters, config):
        with torch.no_grad():
            for parameter, array in zip(self.net.parameters(), parameters, strict=True):
                parameter.copy_(torch.tensor(array))
        train(self.net, self.train)
        arrays = [parameter.detach().numpy() for parameter in self.net.parameters()]
        if self.number == 1:
            arrays[0] = arrays[0] * np.nan
        return arrays, len(self.train[1]), {}


def finite_mod(msg: Message, context: Context, call_next) -> Message:
    reply = call_next(msg, context)
    record = reply.content.parameters_records["fitres.parameters"]
    if all(np.isfinite(array.numpy()).all() for array in record.values()):
        return reply
    return msg.create_error_reply(Error(code=0, reason="not finite"))


mods = [finite_mod]
client_app = ClientApp(
    lambda context: DigitsClient(context.node_config["partition-id"]).to_client(), mods=mods
)


class Telling(FedAvg):
    def aggregate_fit(self, server_round, results, failures):
        parameters, _ = super().aggregate_fit(server_round, results, failures)
        reasons = [isinstance(each, Exception) and "not finite" in str(each) for each in failures]
        return parameters, {"refused": sum(reasons)}


def on_server(server_round, arrays, config):
    keep(arrays=arrays)
    return float(sum(np.abs(array).sum() for array in arrays)), {"finite": True}


def server_fn(context: Context):
    first = [parameter.detach().numpy() for parameter in made(Small).parameters()]
    strategy = Telling(
        fraction_evaluate=0.0,
        min_fit_clients=3,
        min_available_clients=3,
        evaluate_fn=on_server,
        initial_parameters=ndarrays_to_parameters(first),
    )
    return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=2))


server_app = ServerApp(server_fn=server_fn)


def run():
    run_simulation(server_app, client_app, num_supernodes=3)
