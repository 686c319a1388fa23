"""The round loop that all strategies share."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from logging import INFO
from typing import Any, ClassVar, TypeVar

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.log import log
from flwr.serverapp.grid import Grid
from flwr.serverapp.strategy.checkpoints import Checkpoints, checkpoints
from flwr.serverapp.strategy.outcomes import as_messages, as_metrics, as_trained
from flwr.serverapp.strategy.progress import Progress
from flwr.serverapp.strategy.reached import Reached
from flwr.serverapp.strategy.result import Result

Method = TypeVar("Method", bound=Callable[..., object])
EvaluateFunction = Callable[[int, ArrayRecord], MetricRecord | None]


def reads_once(method: Method) -> Method:
    """Mark an ``aggregate_*`` method that reads each reply once and keeps none of them.

    Such a method is given the replies as they come, where the grid can do that; all others, also
    those that override a marked one, are given a list.
    """
    method.__dict__["reads_once"] = True
    return method


class Strategy(ABC):
    """What happens in a round: who is asked what, and what becomes of the replies.

    Subclasses say it in the five abstract methods; :meth:`start` runs the rounds.
    """

    _hidden_metrics: ClassVar[frozenset[str]] = frozenset()  # of nodes, left out of events
    _reached: Reached | None = None  # by the rounds so far
    _resume_from: Reached | None = None  # where the next start goes on

    @abstractmethod
    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Make the training instructions of a round.

        Parameters
        ----------
        server_round : int
            The round, from 1.
        arrays : ArrayRecord
            The current model.
        config : ConfigRecord
            The configuration for the nodes: the same object in each round, so changes last.
        grid : Grid
            The way to the nodes.

        Returns
        -------
        Iterable[Message]
            One message a node; none skips training in this round.
        """

    @abstractmethod
    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Make a new model and metrics from the replies to training.

        Parameters
        ----------
        server_round : int
            The round, from 1.
        replies : Iterable[Message]
            The replies, error replies among them; a list, unless the method is marked with
            ``reads_once``.

        Returns
        -------
        tuple[ArrayRecord or None, MetricRecord or None]
            ``None`` keeps the current model, or records no metrics.
        """

    @abstractmethod
    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Make the evaluation instructions of a round; parameters as in `configure_train`."""

    @abstractmethod
    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Make metrics from the replies to evaluation; parameters as in `aggregate_train`."""

    @abstractmethod
    def summary(self) -> None:
        """Log the strategy's settings."""

    def configure_node(self, node_id: int, config: ConfigRecord) -> ConfigRecord:
        """Return the configuration that one node is sent; override it to give nodes their own.

        Parameters
        ----------
        node_id : int
            The node.
        config : ConfigRecord
            The round's configuration, a copy for this node.
        """
        return config

    def state_dict(self) -> dict[str, Any]:
        """Return what the rounds to come depend on, as plain data.

        It holds the rounds' part (model, configurations, metrics so far), and what the strategy
        itself keeps between rounds; not its settings, nor the state of the global random
        generator, with which nodes are drawn. A subclass adds its own entries to what ``super()``
        returns, and takes them in `load_state_dict`.

        Take it between rounds, from ``evaluate_fn`` for example. Later rounds do not change it;
        its arrays may be read-only.

        Returns
        -------
        dict[str, Any]
            Numbers, texts, lists and dicts of them, ndarrays and ArrayRecords.
        """
        return {"rounds": None if self._reached is None else self._reached.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` gave: the next `start` goes on after its last round.

        Parameters
        ----------
        state : Mapping[str, Any]
            Of a strategy of the same class; it is not changed.

        Raises
        ------
        ValueError
            If its entries are not those that this strategy has.
        """
        known = self.state_dict().keys()
        if state.keys() != known:
            raise ValueError(
                f"This is no state of {type(self).__name__}: its entries are "
                f"{sorted(map(str, state))}, not {sorted(known)}."
            )
        rounds = state["rounds"]
        self._reached = None if rounds is None else Reached.from_state_dict(rounds)
        self._resume_from = self._reached

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: EvaluateFunction | None = None,
    ) -> Result:
        """Run the rounds.

        A second call begins anew, without moments of the first, unless `load_state_dict` has said
        where to go on.

        Parameters
        ----------
        grid : Grid
            The way to the nodes.
        initial_arrays : ArrayRecord
            The model to begin with; not used if the rounds go on from a state that was loaded, or
            that a run in a deployment saved before its ServerApp died.
        num_rounds : int, default 3
            How many rounds to run, those before such a state included.
        timeout : float, default 3600
            Seconds to wait for the replies to each round's training, and to its evaluation.
        train_config, evaluate_config : ConfigRecord, optional
            Sent to the nodes with the model; by default empty. The records are copied first.
        evaluate_fn : Callable[[int, ArrayRecord], MetricRecord or None], optional
            Evaluates a model on the server: the initial one as round 0, then one a round.

        Returns
        -------
        Result
            The last aggregated model and all metrics. If something raises, what there is by then
            is the exception's ``result``.
        """
        if not isinstance(initial_arrays, ArrayRecord):
            raise TypeError(
                f"initial_arrays must be an ArrayRecord, not {type(initial_arrays).__name__}"
            )
        for name, config in (("train_config", train_config), ("evaluate_config", evaluate_config)):
            if not isinstance(config, ConfigRecord | None):
                raise TypeError(f"{name} must be a ConfigRecord, not {type(config).__name__}")
        if self._reached is not None and self._resume_from is None:
            self._begin_anew()
        with checkpoints(grid, self) as saved:
            reached = self._resume_from or Reached(
                round=0,
                arrays=initial_arrays,
                train_config=ConfigRecord() if train_config is None else train_config.copy(),
                evaluate_config=ConfigRecord()
                if evaluate_config is None
                else evaluate_config.copy(),
            )
            self._reached, self._resume_from = reached, None
            return self._run_rounds(grid, reached, num_rounds, timeout, evaluate_fn, saved)

    def _run_rounds(
        self,
        grid: Grid,
        reached: Reached,
        num_rounds: int,
        timeout: float,
        evaluate_fn: EvaluateFunction | None,
        saved: Checkpoints,
    ) -> Result:
        """Run the rounds that are still to come; what nodes will see is saved before they do."""
        arrays = reached.arrays
        train_config, evaluate_config = reached.train_config, reached.evaluate_config
        progress = Progress(grid, num_rounds, reached.result, self._hidden_metrics)
        progress.begin(type(self).__name__, arrays, (train_config, evaluate_config), self.summary)

        with progress.kept_on_error():
            if not saved.restored:
                saved.save()
            if evaluate_fn is not None and reached.round == 0:
                metrics = as_metrics(evaluate_fn(0, arrays), evaluate_fn)
                progress.server_evaluated(0, metrics)

            for server_round in range(reached.next_round, num_rounds + 1):
                progress.round_started(server_round)

                if server_round > reached.round:
                    # Nodes train the model, and their replies become the next one.
                    asked = self.configure_train(server_round, arrays, train_config, grid)
                    messages = as_messages(asked, self.configure_train)
                    replies = self._ask(grid, messages, timeout, self.aggregate_train, progress)
                    trained = self.aggregate_train(server_round, replies)
                    new_arrays, metrics = as_trained(trained, self.aggregate_train)
                    progress.trained(server_round, new_arrays, metrics)
                    if new_arrays is not None:
                        arrays = new_arrays
                    del replies, trained  # not held while the next ones are gathered
                    reached.round, reached.arrays, reached.evaluated = server_round, arrays, False
                    saved.save()

                # Nodes evaluate the new model.
                asked = self.configure_evaluate(server_round, arrays, evaluate_config, grid)
                messages = as_messages(asked, self.configure_evaluate)
                replies = self._ask(grid, messages, timeout, self.aggregate_evaluate, progress)
                evaluated = self.aggregate_evaluate(server_round, replies)
                progress.evaluated(server_round, as_metrics(evaluated, self.aggregate_evaluate))
                del replies
                reached.evaluated = True

                # The server evaluates it too, if it was told how.
                if evaluate_fn is not None:
                    log(INFO, "Global evaluation")
                    metrics = as_metrics(evaluate_fn(server_round, arrays), evaluate_fn)
                    progress.server_evaluated(server_round, metrics)

                progress.round_finished(server_round)
                saved.save()

        return progress.finish()

    def _begin_anew(self) -> None:  # noqa: B027 - most strategies keep nothing
        """Forget what earlier rounds have left behind, apart from settings."""

    def _ask(
        self,
        grid: Grid,
        messages: list[Message],
        timeout: float,
        aggregate: Callable[[int, Iterable[Message]], object],
        progress: Progress,
    ) -> Iterable[Message]:
        """Send messages and return the replies: as they come if that will do, else a list."""
        progress.asked(len(messages))
        if not messages:
            return []
        stream = getattr(grid, "stream", None)
        if stream is not None and self._takes_stream(aggregate):
            return progress.watch(stream(messages, timeout=timeout))
        replies = grid.send_and_receive(messages=messages, timeout=timeout)
        replies = replies if isinstance(replies, list) else list(replies)
        for reply in replies:
            progress.note(reply)
        return replies

    def _takes_stream(self, aggregate: Callable[[int, Iterable[Message]], object]) -> bool:
        """Whether a method of this strategy reads each reply once, whatever its settings."""
        return getattr(aggregate, "reads_once", False)
