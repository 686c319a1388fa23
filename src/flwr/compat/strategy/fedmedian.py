"""`FedMedian` of the legacy API."""

from flwr.app import ArrayRecord
from flwr.compat.strategy.fedavg import FedAvg
from flwr.serverapp.strategy.columnwise import Columnwise, median
from flwr.serverapp.strategy.reducers import Reducer


class FedMedian(FedAvg):
    """The median of the clients' models, coordinate by coordinate; of two middle values, the mean.

    Takes the arguments of :class:`FedAvg`. All clients count the same.

    Notes
    -----
    Yin et al., Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates,
    https://arxiv.org/abs/1803.01498, Definition 1
    """

    def _array_reducer(self, phase: str, together: int) -> Reducer[ArrayRecord]:
        return Columnwise(phase, median)
