"""For users' own tests: a federation in the calling process, and records to feed it.

Example::

    with federation(client_app, nodes=3) as grid:
        result = FedAvg().start(grid, initial_arrays, num_rounds=1)
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from flwr.app import ArrayRecord, MetricRecord, RecordDict, UserConfig
from flwr.clientapp import ClientApp
from flwr.runtime.inprocess import InProcessPool
from flwr.runtime.runinfo import RunInfo
from flwr.simulation.grid import SimulationGrid
from flwr.simulation.nodes import NodeIds


@contextmanager
def federation(
    client_app: ClientApp, nodes: int = 2, run_config: UserConfig | None = None
) -> Iterator[SimulationGrid]:
    """Give a grid whose nodes run ``client_app`` in the calling thread.

    Messages, replies and contexts are handed over as in a real run: as snapshots. No process is
    started and nothing is written, so a test with it takes milliseconds.

    Parameters
    ----------
    client_app : ClientApp
        What the nodes run.
    nodes : int, default 2
        How many there are; node ``i`` has ``partition-id`` ``i``.
    run_config : dict, optional
        The nodes' ``context.run_config``.
    """
    pool = InProcessPool(client_app, run_config=run_config)
    try:
        yield SimulationGrid(pool, NodeIds(nodes), RunInfo(run_id=0))
    finally:
        pool.close()


def sample_arrays(seed: int = 0) -> ArrayRecord:
    """Return a small model: two layers, a scalar counter, a half-precision array."""
    rng = np.random.default_rng(seed)
    return ArrayRecord(
        [
            rng.standard_normal((4, 3), dtype=np.float32),
            rng.standard_normal(3, dtype=np.float32),
            np.array(seed, np.int64),
            rng.standard_normal(2).astype(np.float16),
        ]
    )


def sample_reply_content(seed: int = 0, num_examples: int = 10) -> RecordDict:
    """Return what a training client answers: arrays and metrics."""
    metrics = MetricRecord({"num-examples": num_examples, "loss": 1.0 / (seed + 1)})
    return RecordDict({"arrays": sample_arrays(seed), "metrics": metrics})
