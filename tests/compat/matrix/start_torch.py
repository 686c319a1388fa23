"""1.0: PyTorch clients that keep their optimiser, each told another learning rate."""

import sys
from collections import OrderedDict

import torch
from keeping import keep
from nets import Small, made, test, train
from starting import clients_of
from tasks import digits, mean_of

import flwr as fl
from flwr.common import FitIns, GetPropertiesIns


class DigitsClient(fl.client.NumPyClient):
    def __init__(self, number):
        self.number = number
        self.train, self.test = digits(number, of=6)
        self.model = made(Small)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9)

    def get_properties(self, config):
        return {"number": self.number}

    def get_parameters(self, config):
        return [value.cpu().numpy() for _, value in self.model.state_dict().items()]

    def set_parameters(self, parameters):
        pairs = zip(self.model.state_dict().keys(), parameters, strict=True)
        state = OrderedDict({name: torch.tensor(value) for name, value in pairs})
        self.model.load_state_dict(state, strict=True)

    def fit(self, parameters, config):
        self.set_parameters(parameters)
        for group in self.optimizer.param_groups:
            group["lr"] = config["lr"]
        loss = train(self.model, self.train, self.optimizer)
        return self.get_parameters({}), len(self.train[1]), {"loss": loss, "lr": config["lr"]}

    def evaluate(self, parameters, config):
        self.set_parameters(parameters)
        loss, accuracy = test(self.model, self.test)
        return loss, len(self.test[1]), {"accuracy": accuracy}


class RatesByClient(fl.server.strategy.FedAvg):
    def configure_fit(self, server_round, parameters, client_manager):
        instructions = []
        for client, ins in super().configure_fit(server_round, parameters, client_manager):
            answer = client.get_properties(
                GetPropertiesIns({}), timeout=None, group_id=server_round
            )
            lr = 0.05 * (1 + answer.properties["number"])
            instructions.append((client, FitIns(ins.parameters, {"lr": lr})))
        return instructions


def run():
    with clients_of(__file__, 2) as address:
        history = fl.server.start_server(
            server_address=address,
            config=fl.server.ServerConfig(num_rounds=3),
            strategy=RatesByClient(
                fit_metrics_aggregation_fn=mean_of("lr"),
                evaluate_metrics_aggregation_fn=mean_of("accuracy"),
            ),
        )
    keep(history=history)


if __name__ == "__main__":
    fl.client.start_client(
        server_address=sys.argv[2],
        client=DigitsClient(int(sys.argv[1])).to_client(),
        grpc_max_message_length=512 * 1024 * 1024,
    )
