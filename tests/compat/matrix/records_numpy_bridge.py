"""1.18: a legacy strategy that drives a ClientApp of functions, which read its records."""

from keeping import keep
from tasks import descend, examples, line, squared_error, zeros

from flwr.client import ClientApp
from flwr.common import (
    ArrayRecord,
    ConfigRecord,
    Context,
    Message,
    MetricRecord,
    RecordDict,
    ndarrays_to_parameters,
)
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.server.strategy.aggregate import weighted_loss_avg
from flwr.simulation import run_simulation

client_app = ClientApp()
OK = ConfigRecord({"code": 0, "message": "Success"})


@client_app.train()
def train(msg: Message, context: Context) -> Message:
    number = context.node_config["partition-id"]
    x, y = line(number, examples(number))
    record = msg.content.array_records["fitins.parameters"]
    about = ",".join(f"{key} {array.stype}" for key, array in record.items())
    arrays = [array.numpy() for array in record.values()]
    weights = descend(arrays, x, y, lr=msg.content.config_records["fitins.config"]["lr"])
    content = RecordDict(
        {
            "fitres.parameters": ArrayRecord(weights),
            "fitres.num_examples": MetricRecord({"num_examples": len(y)}),
            "fitres.metrics": ConfigRecord({"about": about, "group": msg.metadata.group_id}),
            "fitres.status": OK,
        }
    )
    return Message(content, reply_to=msg)


@client_app.evaluate()
def evaluate(msg: Message, context: Context) -> Message:
    number = context.node_config["partition-id"]
    arrays = msg.content.array_records["evaluateins.parameters"].to_numpy_ndarrays()
    loss = squared_error(arrays, *line(number, examples(number)))
    content = RecordDict(
        {
            "evaluateres.loss": MetricRecord({"loss": loss}),
            "evaluateres.num_examples": MetricRecord({"num_examples": examples(number)}),
            "evaluateres.metrics": ConfigRecord({"keys": ",".join(sorted(msg.content))}),
            "evaluateres.status": OK,
        }
    )
    return Message(content, reply_to=msg)


class Checked(FedAvg):
    def aggregate_evaluate(self, server_round, results, failures):
        loss, metrics = super().aggregate_evaluate(server_round, results, failures)
        again = weighted_loss_avg([(res.num_examples, res.loss) for _, res in results])
        return loss, {**metrics, "same": abs(again - loss) < 1e-12}


def first_of(pairs):
    assert len({str(values) for _, values in pairs}) == 1
    return pairs[0][1]


def on_server(server_round, arrays, config):
    keep(arrays=arrays)


def server_fn(context: Context):
    strategy = Checked(
        min_fit_clients=3,
        min_evaluate_clients=3,
        min_available_clients=3,
        evaluate_fn=on_server,
        on_fit_config_fn=lambda server_round: {"lr": 0.3 / server_round},
        fit_metrics_aggregation_fn=first_of,
        evaluate_metrics_aggregation_fn=first_of,
        initial_parameters=ndarrays_to_parameters(zeros()),
    )
    return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=3))


server_app = ServerApp(server_fn=server_fn)


def run():
    run_simulation(server_app, client_app, num_supernodes=3)
