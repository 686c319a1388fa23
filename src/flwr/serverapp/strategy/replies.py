"""Reading replies: which are errors, what the others hold, and whether they fit together."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from logging import INFO, WARNING
from typing import NamedTuple, TypeVar

from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.log import log
from flwr.serverapp.exception import AggregationError, InconsistentMessageReplies
from flwr.serverapp.strategy.finite import DROP, PROPAGATE, RAISE, not_finite

Record = TypeVar("Record")
_NO_ARRAYS = ArrayRecord()


class Update(NamedTuple):
    """What one node sent back, read and checked.

    Attributes
    ----------
    node_id : int
        The node.
    content : RecordDict
        All that it sent.
    arrays : ArrayRecord
        Its arrays; an empty record where arrays are not asked for.
    arrays_name : str
        The name of that record.
    metrics : MetricRecord
        Its metrics, the weight among them.
    weight : float
        How much it counts, finite and not negative.
    """

    node_id: int
    content: RecordDict
    arrays: ArrayRecord
    arrays_name: str
    metrics: MetricRecord
    weight: float


class ReplyReader:
    """Reads the replies of one phase and keeps count of them.

    Parameters
    ----------
    phase : str
        The name of the step in the log, ``aggregate_train`` for example.
    weighted_by_key : str
        The metric that says how much a reply counts.
    with_arrays : bool
        Whether each reply must hold an ArrayRecord.
    check_first : Callable[[Update], None], optional
        Called with the first good reply, to which the others must be alike.
    nan_policy : str
        What becomes of replies with arrays that are not finite: see `finite`.

    Attributes
    ----------
    results : int
        Good replies so far.
    failures : list[tuple[int, str]]
        Node and reason of each error reply so far.
    """

    def __init__(
        self,
        phase: str,
        weighted_by_key: str,
        *,
        with_arrays: bool,
        check_first: Callable[[Update], None] | None = None,
        nan_policy: str = PROPAGATE,
    ) -> None:
        self._nan_policy = nan_policy
        self.phase = phase
        self.weighted_by_key = weighted_by_key
        self.with_arrays = with_arrays
        self._check_first = check_first
        self.results = 0
        self._weighted = False
        self.failures: list[tuple[int, str]] = []
        self._names: tuple[str, str] | None = None  # of the first reply's two records
        self._first_node = 0

    def read(self, replies: Iterable[Message]) -> Iterator[Update]:
        """Yield an update for each good reply.

        A list is read in the order of the nodes' ids, so that no bit of a result depends on who was
        faster; a stream in its own order. A reply is let go before the next one is taken, so a
        caller that drops its update too holds one reply at a time.

        Raises
        ------
        InconsistentMessageReplies
            If a reply lacks a record or its weight, or names its records unlike the first one.
        AggregationError
            If an array is not finite, and ``nan_policy`` is "raise".
        """
        if isinstance(replies, Sequence):
            replies = sorted(replies, key=_source)
        for reply in replies:
            if reply.has_error():
                reason = reply.error.reason or f"error code {reply.error.code}"
                self.failures.append((reply.metadata.src_node_id, reason))
            else:
                node_id, content = reply.metadata.src_node_id, reply.content
                if not self._is_left_out(node_id, content):
                    self.results += 1
                    yield self.update(node_id, content)
                del content
            del reply

    def _is_left_out(self, node_id: int, content: RecordDict) -> bool:
        """Whether a reply does not count, because its arrays are not finite."""
        if self._nan_policy not in (DROP, RAISE) or not self.with_arrays:
            return False
        found = (not_finite(record) for record in content.array_records.values())
        name = next(filter(None, found), None)
        if name is None:
            return False
        if self._nan_policy == RAISE:
            raise AggregationError(f"{self.phase}: array '{name}' of node {node_id} is not finite.")
        self.failures.append((node_id, f"array '{name}' is not finite"))
        return True

    def log(self) -> None:
        """Log what was received, and each failure with its node and reason."""
        if not self.results and not self.failures:
            return
        log(
            INFO,
            "%s: Received %d results and %d failures",
            self.phase,
            self.results,
            len(self.failures),
        )
        for node_id, reason in self.failures:
            # the grid has logged the traceback below the first line
            first_line = reason.partition("\n")[0]
            log(INFO, "\t> Received error in reply from node %d: %s", node_id, first_line)

    def has_weight(self) -> bool:
        """Whether any good reply counts; warn if there are replies and none does."""
        if self.results and not self._weighted:
            log(
                WARNING,
                "%s: key '%s' is 0 in all %d replies; nothing is aggregated in this round",
                self.phase,
                self.weighted_by_key,
                self.results,
            )
        return self._weighted

    def update(self, node_id: int, content: RecordDict) -> Update:
        """Return what a node sent as a checked update.

        Raises
        ------
        InconsistentMessageReplies
            As for `read`.
        """
        array_records: list[tuple[str, ArrayRecord]] = []
        metric_records: list[tuple[str, MetricRecord]] = []
        for name, record in content.items():
            if isinstance(record, MetricRecord):
                metric_records.append((name, record))
            elif self.with_arrays and isinstance(record, ArrayRecord):
                array_records.append((name, record))
        arrays_name, arrays = "", _NO_ARRAYS
        if self.with_arrays:
            arrays_name, arrays = _only(array_records, "ArrayRecord", node_id, content)
        metrics_name, metrics = _only(metric_records, "MetricRecord", node_id, content)
        if self._names != (arrays_name, metrics_name):
            self._compare_names(node_id, arrays_name, metrics_name)
        weight = self._weight(node_id, metrics_name, metrics)
        self._weighted |= weight > 0
        update = Update(node_id, content, arrays, arrays_name, metrics, weight)
        if self._check_first is not None:
            self._check_first(update)
            self._check_first = None
        return update

    def _compare_names(self, node_id: int, arrays_name: str, metrics_name: str) -> None:
        if self._names is None:
            self._names, self._first_node = (arrays_name, metrics_name), node_id
            return
        kinds = ("ArrayRecord", "MetricRecord")
        for kind, name, first in zip(kinds, (arrays_name, metrics_name), self._names, strict=True):
            if name != first:
                raise InconsistentMessageReplies(
                    f"Node {node_id} calls its {kind} '{name}', node {self._first_node} calls it "
                    f"'{first}'. All nodes must use the same name."
                )

    def _weight(self, node_id: int, name: str, metrics: MetricRecord) -> float:
        key = self.weighted_by_key
        where = f"in MetricRecord '{name}' of node {node_id}"
        if key not in metrics:
            raise InconsistentMessageReplies(
                f"Missing required key '{key}' {where}: replies are weighted by it. The record "
                f"has: {_some(list(metrics), 10) or 'nothing'}."
            )
        value = metrics[key]
        if isinstance(value, list):
            raise InconsistentMessageReplies(
                f"Key '{key}' {where} is a list; the weight must be a single int or float."
            )
        try:
            weight = float(value)
        except OverflowError:
            weight = math.inf
        if not 0 <= weight < math.inf:
            raise InconsistentMessageReplies(
                f"Key '{key}' {where} is {value}; a weight must be finite and not negative."
            )
        return weight


def _source(reply: Message) -> int:
    return reply.metadata.src_node_id


def _only(
    records: list[tuple[str, Record]], kind: str, node_id: int, content: RecordDict
) -> tuple[str, Record]:
    if len(records) != 1:
        raise InconsistentMessageReplies(
            f"Expected exactly one {kind} in the reply of node {node_id}, found {len(records)}. "
            f"Its records are: {_some(list(content), 10) or 'none'}."
        )
    return records[0]


def check_names(
    what: str, given: tuple[int, Collection[str]], first: tuple[int | None, Collection[str]]
) -> None:
    """Compare the names in a node's reply with those in the first node's.

    Parameters
    ----------
    what : str
        What has the names, for the error.
    given, first : tuple[int, Collection[str]]
        A node and its names.

    Raises
    ------
    InconsistentMessageReplies
        If the sets of names differ.
    """
    missing = [name for name in first[1] if name not in given[1]]
    unknown = [name for name in given[1] if name not in first[1]]
    if missing or unknown:
        differences = [
            f"{verb} {_some(names)}"
            for verb, names in (("lacks", missing), ("adds", unknown))
            if names
        ]
        raise InconsistentMessageReplies(
            f"{what} of node {given[0]} {' and '.join(differences)}, compared with node "
            f"{first[0]}. All replies must have the same names."
        )


def _some(names: list[str], limit: int = 3) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
