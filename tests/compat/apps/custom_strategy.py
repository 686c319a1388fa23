"""PyTorch clients that keep a head of their own, under a strategy that lowers the learning rate."""

from collections.abc import Iterable

import torch
from torch import nn

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

saved: list[tuple[int, float]] = []


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU())
        self.head = nn.Linear(8, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


def load_batch(partition_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(partition_id)
    x = torch.randn(64, 4, generator=generator)
    return x, (x[:, 0] > x[:, 1]).long()


app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    model = Net()
    model.load_state_dict(message.content["arrays"].to_torch_state_dict())
    if "head" in context.state:
        head = context.state["head"]
        assert isinstance(head, ArrayRecord)
        model.head.load_state_dict(head.to_torch_state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=message.content["config"]["lr"])
    x, y = load_batch(context.node_config["partition-id"])
    for _ in range(10):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
    context.state["head"] = ArrayRecord(model.head.state_dict())
    metrics = MetricRecord({"loss": loss.item(), "num-examples": len(x), "steps": [1, 2, 3]})
    reply = RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": metrics})
    return Message(reply, reply_to=message)


class Decaying(FedAvg):
    """Halve the learning rate every second round and remember what was aggregated."""

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        if server_round % 2 == 0:
            config["lr"] = float(config["lr"]) / 2
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        arrays, metrics = super().aggregate_train(server_round, replies)
        assert arrays is not None
        assert metrics is not None
        Net().load_state_dict(arrays.to_torch_state_dict(), strict=True)
        saved.append((server_round, float(metrics["loss"])))
        return arrays, metrics


server = ServerApp()


@server.main()
def main(grid: Grid, context: Context) -> None:
    torch.manual_seed(1)
    strategy = Decaying(
        fraction_evaluate=0.0, min_available_nodes=3, weighted_by_key="num-examples"
    )
    config = ConfigRecord({"lr": 0.2})
    result = strategy.start(
        grid, ArrayRecord(Net().state_dict()), num_rounds=4, train_config=config
    )
    assert result.arrays["body.1.num_batches_tracked"].shape == ()
    assert result.train_metrics_clientapp[4]["steps"] == [1.0, 2.0, 3.0]
