"""The coordinate-wise trimmed mean."""

from functools import partial
from logging import INFO

from flwr.app import ArrayRecord
from flwr.log import log
from flwr.serverapp.strategy.columnwise import Columnwise, trimmed_mean
from flwr.serverapp.strategy.fedavg import FedAvg
from flwr.serverapp.strategy.metrics import MetricsFunction
from flwr.serverapp.strategy.reducers import Reducer
from flwr.serverapp.strategy.settings import check_number


class FedTrimmedAvg(FedAvg):
    """The mean of the nodes' models without the extremes, coordinate by coordinate [1]_.

    For each coordinate, the ``int(beta * n)`` smallest and as many largest of the n nodes' values
    are left out, and the others averaged; all nodes count the same. With ``beta`` above the share
    of nodes that may be malicious, what they send either falls out or lies among honest values.
    Closer to the mean than `FedMedian`, and so more precise while most nodes are honest. Metrics
    are averaged as in `FedAvg`, by weight.

    Parameters
    ----------
    fraction_train, fraction_evaluate, min_train_nodes, min_evaluate_nodes, min_available_nodes
        As for :class:`FedAvg`.
    weighted_by_key, arrayrecord_key, configrecord_key
        As for :class:`FedAvg`.
    train_metrics_aggr_fn, evaluate_metrics_aggr_fn
        As for :class:`FedAvg`.
    beta : float, default 0.2
        The share of values that is left out at each end, from 0 to below 0.5. With few nodes
        ``int(beta * n)`` may be 0: then nothing is left out.

    Raises
    ------
    ValueError
        If ``beta`` is no number or out of range.

    References
    ----------
    .. [1] Yin et al., Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates,
       https://arxiv.org/abs/1803.01498, Definition 2

    Notes
    -----
    NaN counts as larger than any number, so that up to ``int(beta * n)`` nodes with NaN do no harm.

    Examples
    --------
    >>> from flwr.serverapp.strategy import FedTrimmedAvg
    >>> strategy = FedTrimmedAvg(beta=0.3, min_train_nodes=10, min_available_nodes=10)
    """

    def __init__(
        self,
        fraction_train: float = 1.0,
        fraction_evaluate: float = 1.0,
        min_train_nodes: int = 2,
        min_evaluate_nodes: int = 2,
        min_available_nodes: int = 2,
        weighted_by_key: str = "num-examples",
        arrayrecord_key: str = "arrays",
        configrecord_key: str = "config",
        train_metrics_aggr_fn: MetricsFunction | None = None,
        evaluate_metrics_aggr_fn: MetricsFunction | None = None,
        beta: float = 0.2,
    ) -> None:
        check_number("beta", beta)
        if not 0.0 <= beta < 0.5:
            raise ValueError(f"`beta` must be in the range [0, 0.5), but is {beta}.")
        super().__init__(
            fraction_train=fraction_train,
            fraction_evaluate=fraction_evaluate,
            min_train_nodes=min_train_nodes,
            min_evaluate_nodes=min_evaluate_nodes,
            min_available_nodes=min_available_nodes,
            weighted_by_key=weighted_by_key,
            arrayrecord_key=arrayrecord_key,
            configrecord_key=configrecord_key,
            train_metrics_aggr_fn=train_metrics_aggr_fn,
            evaluate_metrics_aggr_fn=evaluate_metrics_aggr_fn,
        )
        self.beta = beta

    def summary(self) -> None:
        """Log the share that is left out, and what `FedAvg` logs."""
        log(INFO, "\t├──> FedTrimmedAvg settings:")
        log(INFO, "\t│\t└── beta: %s", self.beta)
        super().summary()

    def _array_reducer(self, phase: str, together: int) -> Reducer[ArrayRecord]:
        return Columnwise(phase, partial(trimmed_mean, beta=self.beta))
