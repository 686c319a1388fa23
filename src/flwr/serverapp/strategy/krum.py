"""Krum: the one model that lies in the midst of the others."""

from logging import INFO

from flwr.log import log
from flwr.serverapp.strategy.metrics import MetricsFunction
from flwr.serverapp.strategy.multikrum import MultiKrum


class Krum(MultiKrum):
    """The one model that lies closest to most of the others [1]_, section 4.

    The model with the lowest score of :class:`MultiKrum` becomes the new one as it is, and its
    node's metrics those of the round; numbers of examples do not matter. One node's model is less
    precise than a mean of several: :class:`MultiKrum` trades some robustness for that.

    Parameters
    ----------
    fraction_train, fraction_evaluate, min_train_nodes, min_evaluate_nodes, min_available_nodes
        As for :class:`FedAvg`.
    num_malicious_nodes : int, default 0
        The number of nodes in a round that may be malicious. With fewer than twice as many replies
        and 3 more, there is no guarantee, and a warning.
    weighted_by_key, arrayrecord_key, configrecord_key
        As for :class:`FedAvg`.
    train_metrics_aggr_fn, evaluate_metrics_aggr_fn
        As for :class:`FedAvg`; the former is given the selected reply only.

    Raises
    ------
    ValueError
        If ``num_malicious_nodes`` is no whole number or negative.

    References
    ----------
    .. [1] Blanchard, El Mhamdi, Guerraoui and Stainer, Machine Learning with Adversaries: Byzantine
       Tolerant Gradient Descent, https://arxiv.org/abs/1703.02757

    Examples
    --------
    >>> from flwr.serverapp.strategy import Krum
    >>> strategy = Krum(min_train_nodes=10, num_malicious_nodes=2)
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
    ) -> None:
        super().__init__(
            fraction_train=fraction_train,
            fraction_evaluate=fraction_evaluate,
            min_train_nodes=min_train_nodes,
            min_evaluate_nodes=min_evaluate_nodes,
            min_available_nodes=min_available_nodes,
            num_malicious_nodes=num_malicious_nodes,
            num_nodes_to_select=1,
            weighted_by_key=weighted_by_key,
            arrayrecord_key=arrayrecord_key,
            configrecord_key=configrecord_key,
            train_metrics_aggr_fn=train_metrics_aggr_fn,
            evaluate_metrics_aggr_fn=evaluate_metrics_aggr_fn,
            weighted=False,
        )

    def summary(self) -> None:
        """Log the number of malicious nodes, and what `MultiKrum` logs."""
        log(INFO, "\t├──> Krum settings:")
        log(INFO, "\t│\t└── Number of malicious nodes: %d", self.num_malicious_nodes)
        super().summary()
