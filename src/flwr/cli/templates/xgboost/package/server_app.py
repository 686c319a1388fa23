"""How the server collects the trees of the clients, and tests them."""

import numpy as np
from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp, artifacts_dir
from flwr.serverapp.strategy import FedXgbBagging

from $package import task
from $package.dataset import load_split

app = ServerApp()
NO_TREES = np.array([], np.uint8)


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train for some rounds, then save the trees."""
    config = context.run_config
    _, test_rows = load_split(config["dataset"], config["seed"])

    def test_centrally(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        [model] = arrays.to_numpy_ndarrays()
        loss, accuracy, auc = task.test(model, test_rows)
        return MetricRecord({"loss": loss, "accuracy": accuracy, "auc": auc})

    result = FedXgbBagging().start(
        grid=grid,
        initial_arrays=ArrayRecord([NO_TREES]),
        num_rounds=config["num-server-rounds"],
        evaluate_fn=test_centrally,
    )

    [model] = result.arrays.to_numpy_ndarrays()
    (artifacts_dir() / "model.json").write_bytes(model.tobytes())
