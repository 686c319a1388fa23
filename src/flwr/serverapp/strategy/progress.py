"""What the rounds leave behind: log lines, the Result, and events for the run's listener."""

import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from logging import INFO, WARNING
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, memory
from flwr.app.events import (
    Aggregated,
    Event,
    ModelSpoiled,
    NodeMetrics,
    Phase,
    RoundFinished,
    RoundStarted,
    ServerEvaluated,
)
from flwr.log import log
from flwr.serverapp.grid import Grid
from flwr.serverapp.strategy.result import Result
from flwr.serverapp.strategy.summary import log_strategy_start_info
from flwr.serverapp.strategy.sums import has_nan


class Progress:
    """Keeps the books of a strategy's rounds, so that the loop shows only what they do.

    Parameters
    ----------
    grid : Grid
        Events go to its ``emit``; without one none are made.
    rounds : int
        How many rounds there will be.
    result : Result
        What earlier rounds gave, to which these add.
    hidden : Collection[str]
        Metrics of nodes that are left out of events.
    """

    def __init__(
        self, grid: Grid, rounds: int, result: Result, hidden: Collection[str] = ()
    ) -> None:
        self.result = result
        self._emit: Callable[[Event], None] | None = getattr(grid, "emit", None)
        self._rounds = rounds
        self._hidden = hidden
        self._began = self._round_began = time.perf_counter()
        self._tried_training = False
        self._stream: object = None
        self.asked(0)

    def begin(
        self,
        name: str,
        arrays: ArrayRecord,
        configs: tuple[ConfigRecord, ConfigRecord],
        summary: Callable[[], None],
    ) -> None:
        """Log what is about to happen: the run's figures, then the strategy's own summary."""
        log(INFO, "Starting %s strategy:", name)
        log_strategy_start_info(self._rounds, arrays, *configs)
        summary()
        log(INFO, "")

    @contextmanager
    def kept_on_error(self) -> Iterator[None]:
        """Attach what there is of the Result to an exception that ends the rounds.

        A stream that was being read is closed: nobody waits for the rest of it.
        """
        try:
            yield
        except BaseException as error:
            if hasattr(self._stream, "close"):
                self._stream.close()
            error.__dict__["result"] = self.result
            error.add_note("What the strategy had reached is this exception's `result`.")
            raise

    def round_started(self, server_round: int) -> None:
        """Log and tell that a round begins."""
        log(INFO, "")
        log(INFO, "[ROUND %s/%s]", server_round, self._rounds)
        self._round_began = time.perf_counter()
        if self._emit is not None:
            self._emit(RoundStarted(server_round, self._rounds))

    def asked(self, count: int) -> None:
        """Begin to count the replies to ``count`` messages."""
        self._asked = count
        self._replies = 0
        self._failures = 0
        self._nodes: list[NodeMetrics] = []

    def watch(self, stream: Iterator[Message]) -> Iterator[Message]:
        """Return the same replies, noted as they go by and not held."""
        self._stream = stream
        return _Noted(stream, self)

    def note(self, reply: Message) -> None:
        """Count a reply; keep its metrics if somebody listens."""
        if reply.has_error():
            self._failures += 1
            return
        self._replies += 1
        if self._emit is not None:
            metrics: dict[str, Any] = {}
            for record in reply.content.values():
                if isinstance(record, MetricRecord):
                    metrics.update(record)
            for name in self._hidden:
                metrics.pop(name, None)
            self._nodes.append(NodeMetrics(reply.metadata.src_node_id, metrics))

    def trained(
        self, server_round: int, arrays: ArrayRecord | None, metrics: MetricRecord | None
    ) -> None:
        """Keep what a round's training came to."""
        self._tried_training |= self._asked > 0
        if arrays is not None:
            self.result.arrays = arrays
        if metrics is not None:
            self.result.train_metrics_clientapp[server_round] = metrics
        self._aggregated(server_round, "train", metrics)

    def evaluated(self, server_round: int, metrics: MetricRecord | None) -> None:
        """Keep what a round's evaluation on the nodes came to."""
        if metrics is not None:
            self.result.evaluate_metrics_clientapp[server_round] = metrics
        self._aggregated(server_round, "evaluate", metrics)

    def server_evaluated(self, server_round: int, metrics: MetricRecord | None) -> None:
        """Keep what the server measured; round 0 is the initial model."""
        if server_round == 0:
            log(INFO, "Initial global evaluation results: %s", metrics)
        else:
            log(INFO, "\t└──> MetricRecord: %s", metrics)
        if metrics is not None:
            self.result.evaluate_metrics_serverapp[server_round] = metrics
            if self._emit is not None:
                self._emit(ServerEvaluated(server_round, dict(metrics)))

    def round_finished(self, server_round: int) -> None:
        """Tell that a round is over, and how long it took."""
        if self._emit is not None:
            seconds = time.perf_counter() - self._round_began
            self._emit(RoundFinished(server_round, self._rounds, seconds))

    def finish(self) -> Result:
        """Log the Result and return it."""
        log(INFO, "")
        log(INFO, "Strategy execution finished in %.2fs", time.perf_counter() - self._began)
        if self._tried_training and not self.result.arrays:
            log(WARNING, "No round gave a new model: the arrays of the Result are empty.")
        if self._emit is not None and (name := _first_with_nan(self.result.arrays)) is not None:
            self._emit(ModelSpoiled(self._rounds, f"array '{name}' holds NaN"))
        log(INFO, "")
        log(INFO, "Final results:")
        log(INFO, "")
        for line in repr(self.result).splitlines():
            log(INFO, "\t%s", line)
        log(INFO, "")
        return self.result

    def _aggregated(self, server_round: int, phase: Phase, metrics: MetricRecord | None) -> None:
        missing = self._asked - self._replies - self._failures
        if missing > 0:
            log(
                WARNING,
                "aggregate_%s: %d of %d nodes sent no reply in time",
                phase,
                missing,
                self._asked,
            )
        if metrics is not None:
            log(INFO, "\t└──> Aggregated MetricRecord: %s", metrics)
        if self._emit is not None and self._asked:
            counts = self._replies, self._failures
            self._emit(Aggregated(server_round, phase, *counts, dict(metrics or {}), self._nodes))


def _first_with_nan(arrays: ArrayRecord) -> str | None:
    """Return the name of the first array that holds NaN, if one does."""
    for name, array in zip(arrays, memory.views(arrays), strict=True):
        floats = array.dtype.name.startswith(("float", "bfloat", "complex"))
        if floats and array.size and has_nan(array.ravel("K")):
            return name
    return None


class _Noted(Iterator[Message]):
    """Notes each reply that goes by; a generator would hold it until the next one is there."""

    def __init__(self, replies: Iterator[Message], progress: Progress) -> None:
        self._replies = replies
        self._progress = progress

    def __next__(self) -> Message:
        reply = next(self._replies)
        self._progress.note(reply)
        return reply
