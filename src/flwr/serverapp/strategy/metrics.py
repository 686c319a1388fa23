"""The weighted mean of metrics."""

import math
from collections.abc import Callable, KeysView
from logging import WARNING
from typing import ClassVar, Self

from flwr.app import MetricRecord, RecordDict
from flwr.log import log
from flwr.serverapp.exception import InconsistentMessageReplies
from flwr.serverapp.strategy.outcomes import as_metrics
from flwr.serverapp.strategy.replies import ReplyReader, Update, check_names
from flwr.serverapp.strategy.scale import Scale

MetricsFunction = Callable[[list[RecordDict], str], MetricRecord]


class MetricMean:
    """The weighted mean of MetricRecords, entry by entry; lists are averaged item by item.

    The weight itself is left out of the result. Replies of weight 0 are checked, not summed.

    Parameters
    ----------
    phase : str
        The name of the step in warnings.
    weighted_by_key : str
        The metric that says how much a reply counts.
    """

    kind: ClassVar[str] = "streaming"

    def __init__(self, phase: str, weighted_by_key: str) -> None:
        self.phase = phase
        self.weighted_by_key = weighted_by_key
        self.start()

    def start(self) -> None:
        """Forget what was added; ready for a round."""
        self._shapes: dict[str, int | None] = {}  # of the first reply: a list's length, or None
        self._first_node: int | None = None
        self._sums: dict[str, float | list[float]] = {}
        self._scale = Scale()
        self._nan: dict[str, list[int]] = {}  # by metric, the nodes

    def add(self, update: Update) -> None:
        """Take in the metrics of one reply.

        Raises
        ------
        InconsistentMessageReplies
            If their names, or the lengths of their lists, differ from the first reply's.
        """
        metrics = update.metrics
        shapes = {
            name: len(value) if isinstance(value, list) else None for name, value in metrics.items()
        }
        self._check(update.node_id, shapes)
        if update.weight == 0:
            return
        factor = self._factor(update.weight)
        for name, value in metrics.items():
            if name == self.weighted_by_key:
                continue
            try:
                self._add(name, value, factor)
            except OverflowError as error:
                raise InconsistentMessageReplies(
                    f"Metric '{name}' of node {update.node_id} is too large for a float."
                ) from error
            if _has_nan(value):
                self._nan.setdefault(name, []).append(update.node_id)

    def merge(self, other: Self) -> None:
        """Take in what another reducer was given, as if it came next; that one starts again.

        Raises
        ------
        InconsistentMessageReplies
            If the two hold different metrics.
        """
        if other._first_node is None:
            return
        self._check(other._first_node, other._shapes)
        if other._scale.weight > 0:
            factor = self._factor(other._scale.reference, other._scale.weight)
            for name, total in other._sums.items():
                self._add(name, total, factor)
        for name, nodes in other._nan.items():
            self._nan.setdefault(name, []).extend(nodes)
        other.start()

    def finish(self) -> MetricRecord | None:
        """Return the mean and start again; ``None`` if nothing of weight was added."""
        sums, weight, nan = self._sums, self._scale.weight, self._nan
        self.start()
        for name, nodes in nan.items():
            log(
                WARNING,
                "%s: metric '%s' is NaN at node %s; so is the aggregated value",
                self.phase,
                name,
                ", ".join(map(str, nodes)),
            )
        if weight == 0:
            return None
        return MetricRecord(
            {
                name: [item / weight for item in total]
                if isinstance(total, list)
                else total / weight
                for name, total in sums.items()
            }
        )

    def _factor(self, weight: float, amount: float = 1.0) -> float:
        factor, outweighs = self._scale.factor(weight, amount)
        if outweighs:
            self._sums.clear()
            self._nan.clear()
        return factor

    def _add(self, name: str, value: float | list[int] | list[float], factor: float) -> None:
        total = self._sums.get(name)
        if isinstance(value, list):
            before = total if isinstance(total, list) else [0.0] * len(value)
            self._sums[name] = [a + factor * b for a, b in zip(before, value, strict=True)]
        else:
            self._sums[name] = factor * value + (total if isinstance(total, float) else 0.0)

    def _check(self, node_id: int, shapes: dict[str, int | None]) -> None:
        if self._first_node is None:
            self._shapes, self._first_node = shapes, node_id
        elif shapes != self._shapes:
            check_names("The MetricRecord", (node_id, shapes), (self._first_node, self._shapes))
            name = next(name for name in shapes if shapes[name] != self._shapes[name])
            raise InconsistentMessageReplies(
                f"Metric '{name}' of node {node_id} is {_kind(shapes[name])}, that of node "
                f"{self._first_node} is {_kind(self._shapes[name])}."
            )


class MetricCall:
    """Metrics aggregated by a user's function, which is given the content of all replies.

    Parameters
    ----------
    function : MetricsFunction
        Called with the contents in the order of the updates, and the weighting key.
    weighted_by_key : str
        That key.
    """

    kind: ClassVar[str] = "gather"

    def __init__(self, function: MetricsFunction, weighted_by_key: str) -> None:
        self.function = function
        self.weighted_by_key = weighted_by_key
        self.start()

    def start(self) -> None:
        """Forget what was added; ready for a round."""
        self._contents: list[RecordDict] = []
        self._first: tuple[int, KeysView[str]] | None = None

    def add(self, update: Update) -> None:
        """Keep the content of one reply.

        Raises
        ------
        InconsistentMessageReplies
            If the names of its metrics differ from the first reply's.
        """
        given = update.node_id, update.metrics.keys()
        self._first = self._first or given
        check_names("The MetricRecord", given, self._first)
        self._contents.append(update.content)

    def merge(self, other: Self) -> None:
        """Keep what another reducer was given, as if it came next; that one starts again."""
        self._contents += other._contents
        other.start()

    def finish(self) -> MetricRecord | None:
        """Return what the function makes of the contents, and start again."""
        contents = self._contents
        self.start()
        return as_metrics(self.function(contents, self.weighted_by_key), self.function)


def aggregate_metricrecords(records: list[RecordDict], weighting_metric_name: str) -> MetricRecord:
    """Return the weighted mean of the one MetricRecord that each content holds.

    Parameters
    ----------
    records : list[RecordDict]
        The contents of replies. Errors and warnings call the first one node 0.
    weighting_metric_name : str
        The metric that says how much a reply counts; it is left out of the result.

    Raises
    ------
    InconsistentMessageReplies
        If the contents do not fit together.
    """
    phase = "aggregate_metricrecords"
    reader = ReplyReader(phase, weighting_metric_name, with_arrays=False)
    mean = MetricMean(phase, weighting_metric_name)
    for index, content in enumerate(records):
        mean.add(reader.update(index, content))
    return mean.finish() or MetricRecord()


def _has_nan(value: float | list[int] | list[float]) -> bool:
    if isinstance(value, list):
        return any(map(math.isnan, value))
    return math.isnan(value)


def _kind(length: int | None) -> str:
    return "a single number" if length is None else f"a list of {length}"
