"""How the server starts the adapters and averages what the clients learned."""

import math

import torch
from flwr.app import ArrayRecord, ConfigRecord, Context
from flwr.serverapp import Grid, ServerApp, artifacts_dir
from flwr.serverapp.strategy import FedAvg

from $package import task

app = ServerApp()


class FallingRate(FedAvg):
    """FedAvg that lowers the clients' learning rate over the rounds, as half a cosine."""

    def __init__(self, learning_rate, num_rounds, **settings):
        super().__init__(**settings)
        self.learning_rate, self.num_rounds = learning_rate, num_rounds

    def configure_train(self, server_round, arrays, config, grid):
        """Send the round's learning rate with the adapters."""
        share = (1 + math.cos(math.pi * (server_round - 1) / self.num_rounds)) / 2
        config["learning-rate"] = self.learning_rate * share
        return super().configure_train(server_round, arrays, config, grid)


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train for some rounds, then save the adapters."""
    config = context.run_config
    adapters = ArrayRecord(task.adapters_of(task.new_model(config)))
    strategy = FallingRate(
        config["learning-rate"],
        config["num-server-rounds"],
        fraction_train=config["fraction-train"],
    )
    result = strategy.start(
        grid=grid,
        initial_arrays=adapters,
        num_rounds=config["num-server-rounds"],
        train_config=ConfigRecord(),
    )
    torch.save(result.arrays.to_torch_state_dict(), artifacts_dir() / "adapter.pt")
