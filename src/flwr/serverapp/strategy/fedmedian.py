"""The coordinate-wise median."""

from flwr.app import ArrayRecord
from flwr.serverapp.strategy.columnwise import Columnwise, median
from flwr.serverapp.strategy.fedavg import FedAvg
from flwr.serverapp.strategy.reducers import Reducer


class FedMedian(FedAvg):
    """The median of the nodes' models, coordinate by coordinate [1]_.

    For each coordinate j of the model, over the nodes i that replied::

        w[j] = median(w_1[j], ..., w_n[j])

    and of an even number of values the mean of the middle two. All nodes count the same, so that
    none gains weight by claiming many examples. Fewer than half of the nodes, whatever they send,
    cannot move a coordinate beyond the values of the others; the price is that a minority's honest
    difference is not heard either. Metrics are averaged as in `FedAvg`, by weight.

    Takes the arguments of `FedAvg`. NaN counts as larger than any number: a coordinate becomes NaN
    only if half of the nodes send NaN there, with a warning that names nodes and arrays.

    References
    ----------
    .. [1] Yin et al., Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates,
       https://arxiv.org/abs/1803.01498, Definition 1

    Examples
    --------
    >>> from flwr.serverapp.strategy import FedMedian
    >>> strategy = FedMedian(fraction_train=0.5, min_available_nodes=10)
    """

    def _array_reducer(self, phase: str, together: int) -> Reducer[ArrayRecord]:
        return Columnwise(phase, median)
