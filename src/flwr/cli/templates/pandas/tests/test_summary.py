"""The app in this process: no network, no other processes."""

import numpy as np
from flwr.testing import federation

from $package import task
from $package.client_app import app
from $package.dataset import load_split
from $package.server_app import ask


def test_answers_add_up_to_what_all_rows_say(config):
    with federation(app, nodes=4, run_config=config) as grid:
        summary = task.summary([content["sums"] for content in ask(grid)])
    rows, _ = load_split(config["dataset"], config["seed"])
    numbers = task.numbers_of(rows)
    assert list(summary["count"]) == [len(rows)] * len(summary)
    np.testing.assert_allclose(summary["mean"], numbers.mean())
    np.testing.assert_allclose(summary["deviation"], numbers.std(ddof=0))
