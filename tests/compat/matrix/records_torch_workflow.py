"""1.18: the default workflow over a LegacyContext, for PyTorch clients."""

import torch
from keeping import keep
from nets import Small, made, test, train
from tasks import digits, mean_of

from flwr.client import ClientApp, NumPyClient
from flwr.common import Context, ndarrays_to_parameters
from flwr.server import Grid, LegacyContext, ServerApp, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.server.workflow import DefaultWorkflow
from flwr.simulation import run_simulation


def arrays_of(net):
    return [value.cpu().numpy() for value in net.state_dict().values()]


def load(net, arrays):
    pairs = zip(net.state_dict(), arrays, strict=True)
    net.load_state_dict({name: torch.from_numpy(array) for name, array in pairs})


class DigitsClient(NumPyClient):
    def __init__(self, number):
        self.train, self.test = digits(number, of=6)
        self.net = made(Small)

    def fit(self, parameters, config):
        load(self.net, parameters)
        loss = train(self.net, self.train)
        return arrays_of(self.net), len(self.train[1]), {"loss": loss}

    def evaluate(self, parameters, config):
        load(self.net, parameters)
        loss, accuracy = test(self.net, self.test)
        return loss, len(self.test[1]), {"accuracy": accuracy}


def client_fn(context: Context):
    return DigitsClient(context.node_config["partition-id"]).to_client()


client_app = ClientApp(client_fn=client_fn)
server_app = ServerApp()


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    strategy = FedAvg(
        min_fit_clients=3,
        min_evaluate_clients=3,
        min_available_clients=3,
        initial_parameters=ndarrays_to_parameters(arrays_of(made(Small))),
        fit_metrics_aggregation_fn=mean_of("loss"),
        evaluate_metrics_aggregation_fn=mean_of("accuracy"),
    )
    legacy = LegacyContext(context=context, config=ServerConfig(num_rounds=3), strategy=strategy)
    workflow = DefaultWorkflow()
    workflow(grid, legacy)
    model = legacy.state.array_records["parameters"]
    keep(history=legacy.history, arrays=model.to_numpy_ndarrays(), names=list(model))
    keep(round=legacy.state.config_records["config"]["current_round"])


def run():
    run_simulation(server_app, client_app, num_supernodes=3)
