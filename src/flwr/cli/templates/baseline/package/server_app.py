"""How the server starts the model, averages what the clients learned, and tests the result."""

import torch
from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp, artifacts_dir

from $package import task
from $package.dataset import load_test_set
from $package.strategy import Baseline

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train for some rounds, then save the model."""
    config = context.run_config
    torch.manual_seed(config["seed"])
    model = task.new_model(config)
    x_test, y_test = load_test_set(config["dataset"], config["seed"])

    def test_centrally(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        model.load_state_dict(arrays.to_torch_state_dict())
        loss, accuracy = task.test(model, x_test, y_test)
        return MetricRecord({"loss": loss, "accuracy": accuracy})

    strategy = Baseline(fraction_train=config["fraction-train"])
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(model.state_dict()),
        num_rounds=config["num-server-rounds"],
        evaluate_fn=test_centrally,
    )

    torch.save(result.arrays.to_torch_state_dict(), artifacts_dir() / "model.pt")
