"""Bulyan: what the models in the midst of the others agree on."""

from functools import partial
from logging import INFO, WARNING

from flwr.app import ArrayRecord
from flwr.log import log
from flwr.serverapp.strategy.columnwise import Columnwise, mean_around_median
from flwr.serverapp.strategy.metrics import MetricsFunction
from flwr.serverapp.strategy.reducers import Reducer
from flwr.serverapp.strategy.replies import Update
from flwr.serverapp.strategy.selection import (
    SelectingStrategy,
    SelectionRule,
    select_repeated_krum,
)
from flwr.serverapp.strategy.settings import check_count, check_function


class Bulyan(SelectingStrategy):
    """Selects models by Krum, then averages the values around their median [1]_, section 4.

    With n replies, f of which may be malicious:

    1. ``theta = n - 2 f`` models are selected: Krum picks one, then one of those left, and so on.
    2. Each coordinate of the new model is the mean of the ``beta = theta - 2 f`` values of the
       selected models that lie closest to their median.

    Use it against nodes that change few coordinates by much, which a distance between whole models
    hardly shows. It needs many honest nodes: with ``n < 4 f + 3`` replies a round is skipped, with
    a warning. All selected nodes count the same; the metrics are averaged over them, by weight.

    Parameters
    ----------
    fraction_train, fraction_evaluate, min_train_nodes, min_evaluate_nodes, min_available_nodes
        As for :class:`FedAvg`.
    num_malicious_nodes : int, default 0
        ``f``.
    weighted_by_key, arrayrecord_key, configrecord_key
        As for :class:`FedAvg`.
    train_metrics_aggr_fn, evaluate_metrics_aggr_fn
        As for :class:`FedAvg`; the former is given the selected replies only.
    selection_rule : Callable[[list[RecordDict], int, int], list[RecordDict]], optional
        Selects models in another way: given the contents of the replies, ``f`` and ``theta``, it
        returns some of those contents. `flwr.serverapp.strategy.pieces.select_multikrum` takes
        the ``theta`` best of one pass of Krum.

    Raises
    ------
    ValueError
        If ``num_malicious_nodes`` is no whole number or negative, or the rule is no function.

    References
    ----------
    .. [1] El Mhamdi, Guerraoui and Rouault, The Hidden Vulnerability of Distributed Learning in
       Byzantium, https://arxiv.org/abs/1802.07927

    Notes
    -----
    Of two values as far from the median as each other, the smaller one counts as closer.

    Examples
    --------
    >>> from flwr.serverapp.strategy import Bulyan
    >>> strategy = Bulyan(min_train_nodes=11, min_available_nodes=11, num_malicious_nodes=2)
    """

    def __init__(
        self,
        fraction_train: float = 1.0,
        fraction_evaluate: float = 1.0,
        min_train_nodes: int = 2,
        min_evaluate_nodes: int = 2,
        min_available_nodes: int = 2,
        num_malicious_nodes: int = 0,
        weighted_by_key: str = "num-examples",
        arrayrecord_key: str = "arrays",
        configrecord_key: str = "config",
        train_metrics_aggr_fn: MetricsFunction | None = None,
        evaluate_metrics_aggr_fn: MetricsFunction | None = None,
        selection_rule: SelectionRule | None = None,
    ) -> None:
        check_count("num_malicious_nodes", num_malicious_nodes, least=0)
        check_function("selection_rule", selection_rule)
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
        self.selection_rule = selection_rule or select_repeated_krum

    def summary(self) -> None:
        """Log the number of malicious nodes and the rule, and what `FedAvg` logs."""
        log(INFO, "\t├──> Bulyan settings:")
        log(INFO, "\t│\t├── Number of malicious nodes: %d", self.num_malicious_nodes)
        rule = getattr(self.selection_rule, "__name__", repr(self.selection_rule))
        log(INFO, "\t│\t└── Selection rule: %s", rule)
        super().summary()

    def _selected(self, updates: list[Update]) -> list[Update]:
        needed = 4 * self.num_malicious_nodes + 3
        if len(updates) < needed:
            log(
                WARNING,
                "Insufficient replies, skipping Bulyan aggregation: Required at least %d "
                "(4*num_malicious_nodes + 3), but received %d.",
                needed,
                len(updates),
            )
            return []
        theta = len(updates) - 2 * self.num_malicious_nodes
        return self._picked(updates, self.selection_rule, theta)

    def _array_reducer(self, phase: str, together: int) -> Reducer[ArrayRecord]:
        return Columnwise(
            phase, partial(mean_around_median, leave_out=2 * self.num_malicious_nodes)
        )
