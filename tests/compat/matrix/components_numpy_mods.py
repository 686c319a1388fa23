"""1.13: clipping at the clients by mods, one of them one's own; the noise is set to none."""

import numpy as np
from keeping import keep
from tasks import descend, line, squared_error

from flwr.client import ClientApp, NumPyClient
from flwr.client.mod import fixedclipping_mod, message_size_mod
from flwr.common import ConfigsRecord, Context, Message, ndarrays_to_parameters
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import DifferentialPrivacyClientSideFixedClipping, FedAvg
from flwr.simulation import run_simulation


def counting_mod(msg: Message, context: Context, call_next) -> Message:
    """Tell in the metrics which kind of message it was, and how often it was called."""
    state = context.state.configs_records.setdefault("calls", ConfigsRecord({"count": 0}))
    state["count"] += 1
    reply = call_next(msg, context)
    kind = msg.metadata.message_type
    name = {"train": "fitres.metrics", "evaluate": "evaluateres.metrics"}[kind]
    reply.content.configs_records[name]["mod"] = f"{kind} {state['count']}"
    return reply


class LineClient(NumPyClient):
    def __init__(self, number):
        self.x, self.y = line(number, size=30)

    def fit(self, parameters, config):
        assert config["clipping_norm"] == 0.4
        return descend(parameters, self.x, self.y), len(self.y), {}

    def evaluate(self, parameters, config):
        return squared_error(parameters, self.x, self.y), len(self.y), {}


def client_fn(context: Context):
    return LineClient(context.node_config["partition-id"]).to_client()


client_app = ClientApp(
    client_fn=client_fn, mods=[counting_mod, message_size_mod, fixedclipping_mod]
)


def mods_of(metrics):
    return {"mods": ", ".join(sorted({values["mod"] for _, values in metrics}))}


def on_server(server_round, arrays, config):
    keep(**{f"arrays {server_round}": arrays})
    return float(np.sqrt(sum((array**2).sum() for array in arrays))), {}


def server_fn(context: Context):
    strategy = FedAvg(
        min_evaluate_clients=3,
        min_available_clients=3,
        min_fit_clients=3,
        evaluate_fn=on_server,
        initial_parameters=ndarrays_to_parameters([np.zeros(3), np.zeros(1)]),
        fit_metrics_aggregation_fn=mods_of,
        evaluate_metrics_aggregation_fn=mods_of,
    )
    private = DifferentialPrivacyClientSideFixedClipping(
        strategy, noise_multiplier=0.0, clipping_norm=0.4, num_sampled_clients=3
    )
    return ServerAppComponents(strategy=private, config=ServerConfig(num_rounds=3))


server_app = ServerApp(server_fn=server_fn)


def run():
    run_simulation(server_app, client_app, num_supernodes=3)
