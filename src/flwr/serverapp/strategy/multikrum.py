"""MultiKrum: the mean of the models that lie in the midst of the others."""

from logging import INFO, WARNING

from flwr.app import ArrayRecord
from flwr.log import log
from flwr.serverapp.strategy.metrics import MetricsFunction
from flwr.serverapp.strategy.reducers import ArrayMean, Reducer
from flwr.serverapp.strategy.replies import Update
from flwr.serverapp.strategy.selection import (
    SelectingStrategy,
    select_multikrum,
)
from flwr.serverapp.strategy.settings import check_count


class UnweightedMean(ArrayMean):
    """The mean of ArrayRecords in which all replies count the same."""

    def add(self, update: Update) -> None:
        """Take in the arrays of one reply, whatever its weight."""
        super().add(update._replace(weight=1.0))


class MultiKrum(SelectingStrategy):
    """The mean of the models that lie closest to most of the others [1]_, section 4.

    With n replies, f of which may be malicious, a model's score is the sum of the squared Euclidean
    distances, over all arrays, to the ``n - f - 2`` other models that are closest to it::

        score(i) = sum of ||w_i - w_j||^2 over those j

    The ``num_nodes_to_select`` models of the lowest scores are averaged, and their nodes' metrics;
    what the others sent does not count. Use it against nodes whose models lie far from the honest
    ones. Honest nodes with unusual data are left out too. The guarantee needs ``n >= 2 f + 3``:
    with fewer replies there is a warning. Replies of weight 0 are none of the n, if weights count.

    Parameters
    ----------
    fraction_train, fraction_evaluate, min_train_nodes, min_evaluate_nodes, min_available_nodes
        As for :class:`FedAvg`.
    num_malicious_nodes : int, default 0
        ``f``.
    num_nodes_to_select : int, default 1
        How many models are averaged; at most all that there are.
    weighted_by_key, arrayrecord_key, configrecord_key
        As for :class:`FedAvg`.
    train_metrics_aggr_fn, evaluate_metrics_aggr_fn
        As for :class:`FedAvg`; the former is given the selected replies only.
    weighted : bool, default True
        Whether the selected models are averaged by weight. In the paper they are not: a malicious
        node that is selected could claim many examples. Metrics are averaged by weight always.

    Raises
    ------
    ValueError
        If ``num_malicious_nodes`` is no whole number or negative, or ``num_nodes_to_select`` is
        below 1.

    References
    ----------
    .. [1] Blanchard, El Mhamdi, Guerraoui and Stainer, Machine Learning with Adversaries: Byzantine
       Tolerant Gradient Descent, https://arxiv.org/abs/1703.02757

    Notes
    -----
    Distances are computed in float64, and need all replies at once: they stay where they are, and
    are read block by block. A model with a value that is not finite is infinitely far from all
    others. Of models with the same score, that of the node that was asked first is better.

    Examples
    --------
    >>> from flwr.serverapp.strategy import MultiKrum
    >>> strategy = MultiKrum(min_train_nodes=10, num_malicious_nodes=2, num_nodes_to_select=6)
    """

    def __init__(
        self,
        fraction_train: float = 1.0,
        fraction_evaluate: float = 1.0,
        min_train_nodes: int = 2,
        min_evaluate_nodes: int = 2,
        min_available_nodes: int = 2,
        num_malicious_nodes: int = 0,
        num_nodes_to_select: int = 1,
        weighted_by_key: str = "num-examples",
        arrayrecord_key: str = "arrays",
        configrecord_key: str = "config",
        train_metrics_aggr_fn: MetricsFunction | None = None,
        evaluate_metrics_aggr_fn: MetricsFunction | None = None,
        *,
        weighted: bool = True,
    ) -> None:
        check_count("num_malicious_nodes", num_malicious_nodes, least=0)
        check_count("num_nodes_to_select", num_nodes_to_select, least=1)
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
        self.num_malicious_nodes = num_malicious_nodes
        self.num_nodes_to_select = num_nodes_to_select
        self.weighted = weighted

    def summary(self) -> None:
        """Log the numbers of nodes, and what `FedAvg` logs."""
        log(INFO, "\t├──> MultiKrum settings:")
        log(INFO, "\t│\t├── Number of malicious nodes: %d", self.num_malicious_nodes)
        log(INFO, "\t│\t└── Number of nodes to select: %d", self.num_nodes_to_select)
        super().summary()

    def _selected(self, updates: list[Update]) -> list[Update]:
        if self.weighted:
            updates = [update for update in updates if update.weight]
        needed = 2 * self.num_malicious_nodes + 3
        if len(updates) < needed:
            log(
                WARNING,
                "%s gives no guarantee in this round: it needs at least %d replies "
                "(2*num_malicious_nodes + 3), but received %d.",
                type(self).__name__,
                needed,
                len(updates),
            )
        return self._picked(updates, select_multikrum, self.num_nodes_to_select)

    def _array_reducer(self, phase: str, together: int) -> Reducer[ArrayRecord]:
        return (ArrayMean if self.weighted else UnweightedMean)(phase, together=together)
