"""A few rounds of the app in this process: no network, no other processes."""

import torch
from flwr.app import ArrayRecord
from flwr.testing import federation

from $package import task
from $package.client_app import app
from $package.server_app import FallingRate


def test_clients_learn(config):
    torch.set_num_threads(1)  # more would be slower: the model is small
    adapters = ArrayRecord(task.adapters_of(task.new_model(config)))
    strategy = FallingRate(config["learning-rate"], num_rounds=2)
    with federation(app, nodes=2, run_config=config) as grid:
        result = strategy.start(grid, adapters, num_rounds=2)
    losses = [metrics["train-loss"] for metrics in result.train_metrics_clientapp.values()]
    assert losses[-1] < losses[0]
