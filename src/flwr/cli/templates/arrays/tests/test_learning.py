"""A few rounds of the app in this process: no network, no other processes."""

from flwr.app import ArrayRecord
from flwr.serverapp.strategy import FedAvg
from flwr.testing import federation

from $package import task
from $package.client_app import app


def test_clients_learn(config):
    with federation(app, nodes=3, run_config=config) as grid:
        result = FedAvg().start(grid, ArrayRecord(task.new_weights(config)), num_rounds=2)
    losses = [metrics["train-loss"] for metrics in result.train_metrics_clientapp.values()]
    assert losses[-1] < losses[0]
