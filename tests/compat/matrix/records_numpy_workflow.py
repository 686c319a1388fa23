"""1.18: a workflow whose training is one's own, over clients that remember their last weights."""

import numpy as np
from keeping import keep
from tasks import descend, examples, line, mean_of, squared_error, zeros

from flwr.client import ClientApp, NumPyClient
from flwr.common import (
    Array,
    ArrayRecord,
    Context,
    Message,
    MessageType,
    MetricRecord,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
)
from flwr.server import Grid, LegacyContext, ServerApp, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.server.workflow import DefaultWorkflow
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD, Key
from flwr.server.workflow.default_workflows import default_fit_workflow
from flwr.simulation import run_simulation


class LineClient(NumPyClient):
    def __init__(self, context: Context):
        number = context.node_config["partition-id"]
        self.state = context.state
        self.x, self.y = line(number, examples(number))

    def get_parameters(self, config):
        return zeros()

    def fit(self, parameters, config):
        if "last" in self.state:
            last = self.state.array_records["last"].to_numpy_ndarrays()
            parameters = [0.5 * (new + old) for new, old in zip(parameters, last, strict=True)]
        weights = descend(parameters, self.x, self.y)
        self.state["last"] = ArrayRecord(weights)
        count = self.state.metric_records.setdefault("count", MetricRecord({"n": 0}))
        count["n"] = count["n"] + 1
        return weights, len(self.y), {"n": count["n"]}

    def evaluate(self, parameters, config):
        return squared_error(parameters, self.x, self.y), len(self.y), {}


client_app = ClientApp(client_fn=lambda context: LineClient(context).to_client())
server_app = ServerApp()


def fit_twice(grid: Grid, context: LegacyContext) -> None:
    """Train twice in the second round; then shrink the model a little."""
    server_round = context.state.config_records[MAIN_CONFIGS_RECORD][Key.CURRENT_ROUND]
    default_fit_workflow(grid, context)
    if server_round == 2:
        default_fit_workflow(grid, context)
    record = context.state.array_records[MAIN_PARAMS_RECORD]
    for name, array in list(record.items()):
        record[name] = Array(np.asarray(array.numpy() * 0.99))
    keep(**{f"arrays {server_round}": record.to_numpy_ndarrays()})


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    strategy = FedAvg(
        min_fit_clients=3,
        min_evaluate_clients=3,
        min_available_clients=3,
        fit_metrics_aggregation_fn=mean_of("n"),
        on_evaluate_config_fn=lambda server_round: {"round": server_round},
    )
    legacy = LegacyContext(context, config=ServerConfig(num_rounds=3), strategy=strategy)
    DefaultWorkflow(fit_workflow=fit_twice)(grid, legacy)
    keep(history=legacy.history)
    again = ndarrays_to_parameters(legacy.state[MAIN_PARAMS_RECORD].to_numpy_ndarrays())
    client = next(iter(legacy.client_manager.all().values()))
    keep(last=parameters_to_ndarrays(again), cid=client.cid == str(client.node_id))
    message = Message(legacy.state, client.node_id, MessageType.TRAIN)
    keep(kind=message.metadata.message_type)


def run():
    run_simulation(server_app, client_app, num_supernodes=3)
