"""Federated averaging."""

from collections.abc import Callable, Iterable, Sequence
from logging import INFO, WARNING

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.log import log
from flwr.serverapp.grid import Grid
from flwr.serverapp.strategy.alignment import are_renamed, check_fit
from flwr.serverapp.strategy.finite import NanPolicy
from flwr.serverapp.strategy.metrics import (
    MetricCall,
    MetricMean,
    MetricsFunction,
    aggregate_metricrecords,
)
from flwr.serverapp.strategy.outcomes import as_config
from flwr.serverapp.strategy.reducers import TOGETHER, ArrayMean, Reducer, reduce_replies
from flwr.serverapp.strategy.replies import ReplyReader, Update
from flwr.serverapp.strategy.sampling import sample_nodes
from flwr.serverapp.strategy.serversteps import by_name
from flwr.serverapp.strategy.settings import check_function, check_number
from flwr.serverapp.strategy.strategy import Strategy, reads_once


class FedAvg(Strategy):
    """Federated averaging: the new model is the weighted mean of the nodes' models [1]_.

    Parameters
    ----------
    fraction_train, fraction_evaluate : float, default 1.0
        The share of the connected nodes that is asked in a round. Exactly 0.0 skips the phase.
    min_train_nodes, min_evaluate_nodes : int, default 2
        The fewest nodes that are asked, whatever the fraction.
    min_available_nodes : int, default 2
        The fewest nodes that must be connected before a round's nodes are drawn.
    weighted_by_key : str, default "num-examples"
        The metric in the replies that says how much each one counts.
    arrayrecord_key, configrecord_key : str, default "arrays" and "config"
        The names of the model and of the configuration in the instructions.
    train_metrics_aggr_fn, evaluate_metrics_aggr_fn : optional
        ``(list[RecordDict], weighted_by_key) -> MetricRecord``, given the contents of all good
        replies; by default the weighted mean of each metric. With a function of one's own, the
        replies of that phase are held in memory together.

    Attributes
    ----------
    nan_policy : str, default "propagate"
        What becomes of a trained model that is not finite: "propagate" lets the rule see it,
        "drop_client" counts the reply as a failure, "raise" raises an ``AggregationError``.

    References
    ----------
    .. [1] McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized
       Data, https://arxiv.org/abs/1602.05629

    Notes
    -----
    Integers and bools are averaged in float64 and rounded back to their dtype; 64-bit ones as
    differences to the first reply's, so that those beyond 2^53 keep their last digits. NaN in a
    model or metric makes the mean NaN, with a warning that names the node. A reply that does not
    fit the first one raises ``InconsistentMessageReplies``, and so do replies that lack an array of
    the model that was sent, unless a subclass overrides ``configure_train`` or ``aggregate_train``.
    Error replies are logged and left out.
    """

    nan_policy = NanPolicy()

    _sent: ArrayRecord | None = None  # the model, in the current round

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
    ) -> None:
        for name, value in (
            ("fraction_train", fraction_train),
            ("fraction_evaluate", fraction_evaluate),
            ("min_train_nodes", min_train_nodes),
            ("min_evaluate_nodes", min_evaluate_nodes),
            ("min_available_nodes", min_available_nodes),
        ):
            check_number(name, value)
        check_function("train_metrics_aggr_fn", train_metrics_aggr_fn)
        check_function("evaluate_metrics_aggr_fn", evaluate_metrics_aggr_fn)
        self.fraction_train = fraction_train
        self.fraction_evaluate = fraction_evaluate
        self.min_train_nodes = min_train_nodes
        self.min_evaluate_nodes = min_evaluate_nodes
        self.min_available_nodes = min_available_nodes
        self.weighted_by_key = weighted_by_key
        self.arrayrecord_key = arrayrecord_key
        self.configrecord_key = configrecord_key
        self.train_metrics_aggr_fn = train_metrics_aggr_fn or aggregate_metricrecords
        self.evaluate_metrics_aggr_fn = evaluate_metrics_aggr_fn or aggregate_metricrecords
        if fraction_train == 0.0:
            self.min_train_nodes = 0
            log(WARNING, "fraction_train is set to 0.0. Federated training will be skipped.")
        if fraction_evaluate == 0.0:
            self.min_evaluate_nodes = 0
            log(WARNING, "fraction_evaluate is set to 0.0. Federated evaluation will be skipped.")

    def summary(self) -> None:
        """Log how nodes are sampled, and the names of records."""
        log(INFO, "\t├──> Sampling:")
        log(
            INFO,
            "\t│\t├──Fraction: train (%.2f) | evaluate ( %.2f)",
            self.fraction_train,
            self.fraction_evaluate,
        )
        log(
            INFO,
            "\t│\t├──Minimum nodes: train (%d) | evaluate (%d)",
            self.min_train_nodes,
            self.min_evaluate_nodes,
        )
        log(INFO, "\t│\t└──Minimum available nodes: %d", self.min_available_nodes)
        log(INFO, "\t└──> Keys in records:")
        log(INFO, "\t\t├── Weighted by: '%s'", self.weighted_by_key)
        log(INFO, "\t\t├── ArrayRecord key: '%s'", self.arrayrecord_key)
        log(INFO, "\t\t└── ConfigRecord key: '%s'", self.configrecord_key)

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Draw this round's nodes and send them the model and the configuration.

        The configuration that is sent is a copy with ``server-round`` added.
        """
        self._sent = arrays
        if self.fraction_train == 0.0:
            return []
        node_ids, available = sample_nodes(
            grid, self.fraction_train, self.min_train_nodes, self.min_available_nodes
        )
        log(INFO, "configure_train: Sampled %d nodes (out of %d)", len(node_ids), available)
        return self._messages("train", server_round, node_ids, arrays, config)

    @reads_once
    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the weighted mean of the models and of the metrics.

        Raises
        ------
        InconsistentMessageReplies
            If replies do not fit together, or lack an array of the model that was sent.
        AggregationError
            If an array is of a kind that has no mean.
        """
        name = "aggregate_train"
        reader = self._training_reader(name)
        arrays = self._array_reducer(name, TOGETHER if isinstance(replies, Sequence) else 1)
        metrics = self._metrics_reducer(name, self.train_metrics_aggr_fn)
        reduce_replies(replies, reader, [arrays, metrics])
        if not reader.has_weight():
            return None, None
        return self._next_model(server_round, arrays.finish()), metrics.finish()

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Draw the nodes that evaluate, and send them the model and the configuration.

        The configuration that is sent is a copy with ``server-round`` added.
        """
        if self.fraction_evaluate == 0.0:
            return []
        node_ids, available = sample_nodes(
            grid, self.fraction_evaluate, self.min_evaluate_nodes, self.min_available_nodes
        )
        log(INFO, "configure_evaluate: Sampled %d nodes (out of %d)", len(node_ids), available)
        return self._messages("evaluate", server_round, node_ids, arrays, config)

    @reads_once
    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Return the weighted mean of the metrics.

        Raises
        ------
        InconsistentMessageReplies
            If replies do not fit together.
        """
        name = "aggregate_evaluate"
        reader = ReplyReader(name, self.weighted_by_key, with_arrays=False)
        metrics = self._metrics_reducer(name, self.evaluate_metrics_aggr_fn)
        reduce_replies(replies, reader, [metrics])
        return metrics.finish() if reader.has_weight() else None

    def _messages(
        self,
        message_type: str,
        server_round: int,
        node_ids: list[int],
        arrays: ArrayRecord,
        config: ConfigRecord,
    ) -> list[Message]:
        """Make a round's instructions; nodes share one content unless each has its own config."""
        config = config.copy()
        config["server-round"] = server_round

        def content(config: ConfigRecord) -> RecordDict:
            return RecordDict({self.arrayrecord_key: arrays, self.configrecord_key: config})

        if type(self).configure_node is Strategy.configure_node:
            shared = content(config)
            return [Message(shared, node_id, message_type) for node_id in node_ids]
        own = self.configure_node
        return [
            Message(
                content(as_config(own(node_id, config.copy()), own, node_id)), node_id, message_type
            )
            for node_id in node_ids
        ]

    def _training_reader(self, phase: str) -> ReplyReader:
        """Make what reads the replies to training."""
        return ReplyReader(
            phase,
            self.weighted_by_key,
            with_arrays=True,
            check_first=self._check_first,
            nan_policy=self.nan_policy,
        )

    def _check_first(self, update: Update) -> None:
        """Refuse replies without an array of the model, which would be gone from the new one.

        Not in a subclass that may have sent other arrays, or taken some out of the replies. Nodes
        may call all arrays otherwise, by their places for example, where names alone differ.
        """
        steps = self.configure_train, self.aggregate_train
        own = all(getattr(step, "__module__", "").startswith("flwr.") for step in steps)
        if self._sent is None or not own:
            return
        if self._steps() or any(name not in update.arrays for name in self._sent):
            sent = by_name(self._sent, type(self).__name__)
            if not self._steps() and are_renamed(update, sent):
                log(
                    WARNING,
                    "Node %d was sent arrays '%s', ... and calls them '%s', ...: the new model has "
                    "the nodes' names.",
                    update.node_id,
                    next(iter(sent)),
                    next(iter(update.arrays)),
                )
                return
            check_fit(update, sent)

    def _steps(self) -> bool:
        """Whether the server steps from the model that was sent, so that the arrays must be its."""
        return False

    def _array_reducer(self, phase: str, together: int) -> Reducer[ArrayRecord]:
        """Make what turns the replies' arrays into one model, which belongs to nobody else.

        ``together`` replies are at hand at once.
        """
        return ArrayMean(phase, together=together)

    def _next_model(self, server_round: int, reduced: ArrayRecord | None) -> ArrayRecord | None:
        """Let the server step, from arrays in the order in which they were sent.

        A node that answers in another order would else change what the arrays' positions mean to
        all nodes.
        """
        if reduced is None:
            return None
        sent = self._sent
        if sent is not None and list(reduced) != list(sent) and reduced.keys() == sent.keys():
            reduced = ArrayRecord({name: reduced[name] for name in sent})
        return self._server_step(server_round, reduced)

    def _server_step(self, server_round: int, arrays: ArrayRecord) -> ArrayRecord:
        """Return the new global model, given what the replies were reduced to: here, just that."""
        return arrays

    def _metrics_reducer(self, phase: str, function: MetricsFunction) -> Reducer[MetricRecord]:
        if function is aggregate_metricrecords:
            return MetricMean(phase, self.weighted_by_key)
        return MetricCall(function, self.weighted_by_key)

    def _takes_stream(self, aggregate: Callable[[int, Iterable[Message]], object]) -> bool:
        training = aggregate == self.aggregate_train
        function = self.train_metrics_aggr_fn if training else self.evaluate_metrics_aggr_fn
        return function is aggregate_metricrecords and super()._takes_stream(aggregate)
