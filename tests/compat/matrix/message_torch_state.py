"""1.41: PyTorch clients that keep their head, and a strategy that keeps all its replies."""

import torch
from keeping import keep
from nets import Small, made
from nets import train as train_fn
from tasks import digits

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

app = ClientApp()


@app.train()
def train(msg: Message, context: Context):
    model = made(Small)
    model.load_state_dict(msg.content["arrays"].to_torch_state_dict())
    if "head" in context.state:
        model.out.load_state_dict(context.state["head"].to_torch_state_dict())
    data, _ = digits(context.node_config["partition-id"], of=6)
    loss = train_fn(model, data, lr=msg.content["config"]["lr"])
    context.state["head"] = ArrayRecord(model.out.state_dict())
    rounds = context.state.setdefault("rounds", MetricRecord({"losses": []}))
    rounds["losses"] = [*rounds["losses"], loss]
    metrics = MetricRecord(
        {"train_loss": loss, "first_loss": rounds["losses"][0], "num-examples": len(data[1])}
    )
    content = RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": metrics})
    return Message(content=content, reply_to=msg)


class Keeping(FedAvg):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.all_replies = []

    def aggregate_train(self, server_round, replies):
        replies = list(replies)
        self.all_replies.append(replies)
        losses = [reply.content["metrics"]["train_loss"] for reply in self.all_replies[-1]]
        arrays, metrics = super().aggregate_train(server_round, replies)
        metrics["worst"] = max(losses)
        state = arrays.to_torch_state_dict()
        made(Small).load_state_dict(state, strict=True)
        metrics["norm"] = float(sum(value.norm() for value in state.values()))
        return arrays, metrics


server = ServerApp()


@server.main()
def main(grid: Grid, context: Context) -> None:
    strategy = Keeping(fraction_evaluate=0.0, min_train_nodes=3, min_available_nodes=3)
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(made(Small).state_dict()),
        train_config=ConfigRecord({"lr": 0.2}),
        num_rounds=3,
    )
    keep(train=result.train_metrics_clientapp, replies=[len(r) for r in strategy.all_replies])
    for name, value in result.arrays.to_torch_state_dict().items():
        assert isinstance(value, torch.Tensor)
        keep(**{name: value.numpy()})


def run():
    run_simulation(server, app, num_supernodes=3)
