"""The method of the baseline: where it differs from federated averaging."""

from flwr.app import ArrayRecord, ConfigRecord
from flwr.serverapp.strategy import FedAvg


class Baseline(FedAvg):
    """Federated averaging, to be changed into the method of the paper.

    The other steps to override are `aggregate_train`, `configure_evaluate` and
    `aggregate_evaluate`.
    """

    def configure_train(self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid):
        """Choose the clients of a round and say what they are sent."""
        return super().configure_train(server_round, arrays, config, grid)
