"""A few rounds of the app in this process: no network, no other processes."""

from flwr.app import ArrayRecord
from flwr.serverapp.strategy import FedXgbBagging
from flwr.testing import federation

from quickstart_xgboost import task
from quickstart_xgboost.client_app import app
from quickstart_xgboost.dataset import load_split
from quickstart_xgboost.server_app import NO_TREES


def test_clients_grow_trees(config):
    with federation(app, nodes=3, run_config=config) as grid:
        result = FedXgbBagging().start(grid, ArrayRecord([NO_TREES]), num_rounds=3)
    [model] = result.arrays.to_numpy_ndarrays()
    _, test_rows = load_split(config["dataset"], config["seed"])
    assert task.booster_of(model).num_boosted_rounds() == 9
    assert task.test(model, test_rows)[0] < task.test(NO_TREES, test_rows)[0]
