"""How the server starts the model, averages what the clients learned, and tests the result."""

import numpy as np
from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp, artifacts_dir
from flwr.serverapp.strategy import FedAvg

from $package import task
from $package.dataset import load_test_set

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train for some rounds, then save the model."""
    config = context.run_config
    x_test, y_test = load_test_set(config["dataset"], config["seed"])

    def test_centrally(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        loss, accuracy = task.test(arrays.to_numpy_ndarrays(), x_test, y_test)
        return MetricRecord({"loss": loss, "accuracy": accuracy})

    strategy = FedAvg(fraction_train=config["fraction-train"])
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(task.new_weights(config)),
        num_rounds=config["num-server-rounds"],
        evaluate_fn=test_centrally,
    )

    np.savez(artifacts_dir() / "model.npz", *result.arrays.to_numpy_ndarrays())
