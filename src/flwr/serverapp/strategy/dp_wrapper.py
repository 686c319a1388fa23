"""Central differential privacy around a strategy: what its four wrappers share."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping
from logging import INFO, WARNING
from typing import Any, ClassVar

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.log import log
from flwr.privacy.accounting import (
    GaussianPrivacyEvent,
    PrivacyAccountant,
    PrivacySpent,
    SamplingMethod,
)
from flwr.serverapp.exception import AggregationError, PrivacyBudgetExhausted
from flwr.serverapp.grid import Grid
from flwr.serverapp.strategy.clipped_mean import ClippedMean
from flwr.serverapp.strategy.dp_release import (
    KEY_CLIPPING_NORM,
    KEY_NORM_BIT,
    check_averages,
    check_made,
    check_release,
    reducing_by,
    release_rule,
    say_released,
    warn_of_count,
)
from flwr.serverapp.strategy.fedavg import FedAvg
from flwr.serverapp.strategy.outcomes import as_config, as_trained
from flwr.serverapp.strategy.strategy import Strategy, reads_once

_PHASE = "aggregate_train"
_MAKERS = frozenset({"aggregate_train", "_array_reducer"})


class PrivacyWrapper(Strategy):
    """Lets another strategy step from a clipped and noised mean instead of its own.

    Parameters
    ----------
    strategy : Strategy
        FedAvg or one that keeps its mean: FedProx, FedAvgM, FedAdagrad, FedAdam, FedYogi, or a
        subclass of one's own.
    noise_multiplier : float
        The noise's standard deviation in units of ``clipping_norm / num_sampled_clients``.
    clipping_norm : float
        The most that the norm of an update may be.
    num_sampled_clients : int
        How many nodes take part in a round.
    accountant : PrivacyAccountant, optional
        Told of every release.
    reclip : bool
        Whether updates that nodes should have clipped are clipped here, too.
    """

    _hidden_metrics: ClassVar[frozenset[str]] = frozenset({KEY_NORM_BIT})
    _server_side: ClassVar[bool]
    _title: ClassVar[str]
    _clipped_line: ClassVar[str]  # logged when updates were clipped here

    def __init__(
        self,
        strategy: Strategy,
        noise_multiplier: float,
        clipping_norm: float,
        num_sampled_clients: int,
        *,
        accountant: PrivacyAccountant | None,
        reclip: bool,
    ) -> None:
        self.strategy = _averaging(strategy)
        check_release(noise_multiplier, clipping_norm, num_sampled_clients)
        if not isinstance(reclip, bool):
            raise ValueError(f"reclip should be True or False. Given: reclip={reclip!r}.")
        if not isinstance(accountant, PrivacyAccountant | None):
            raise ValueError(
                "The accountant should be a GaussianAccountant, an RdpAccountant or a "
                f"PrivacyAccountant of your own. Given: accountant={accountant!r}."
            )
        self.noise_multiplier = noise_multiplier
        self.clipping_norm = clipping_norm
        self.num_sampled_clients = num_sampled_clients
        self.accountant = accountant
        self.reclip = reclip
        self._event = self._event_of(accountant)
        self._model: ArrayRecord | None = None

    def __repr__(self) -> str:
        """Compute a string representation of the strategy."""
        return f"Differential Privacy Strategy Wrapper ({self._title})"

    def summary(self) -> None:
        """Log the settings of the wrapper, then those of the strategy in it."""
        log(INFO, "\t├──> DP settings:")
        *first, last = self._settings()
        for line in first:
            log(INFO, "\t│\t├── %s", line)
        log(INFO, "\t│\t└── %s", last)
        self.strategy.summary()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Make the strategy's instructions; where nodes clip, with the bound as ``clipping_norm``.

        Raises
        ------
        PrivacyBudgetExhausted
            If an accountant says that one more release would cost too much. Nothing is sent.
        ValueError
            If there is an accountant and not exactly ``num_sampled_clients`` nodes are asked.
        """
        self._model = arrays
        messages = list(self.strategy.configure_train(server_round, arrays, config, grid))
        if messages:
            self._check_cohort(len(messages))
            self._check_budget()
        bound = {} if self._server_side else {KEY_CLIPPING_NORM: float(self.clipping_norm)}
        return self._instructions(messages, bound)

    @reads_once
    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Let the strategy step from the clipped and noised mean; see the class for what that is.

        Raises
        ------
        InconsistentMessageReplies
            If replies do not fit together, or not to the model that was sent.
        AggregationError
            If there was no `configure_train`, or the strategy made a model without its mean.
        """
        if self._model is None:
            raise AggregationError(
                f"{type(self).__name__} clips what nodes changed in the model that they were sent: "
                "`configure_train` comes before `aggregate_train`."
            )
        exact = self.accountant is not None
        rule = release_rule(self, clips=self._server_side or self.reclip, exact=exact)
        mean, aggregate = ClippedMean(_PHASE, self._model, rule), self.strategy.aggregate_train
        with reducing_by(self.strategy, mean, aggregate) as made:
            trained = aggregate(server_round, self._received(replies))
        arrays, metrics = as_trained(trained, aggregate)
        warn_of_count(mean)
        if mean.released:
            self._note_release(mean)
        check_made(arrays, made, self.strategy, aggregate)
        return (arrays, metrics) if mean.released else (None, None)

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Make the strategy's instructions."""
        messages = self.strategy.configure_evaluate(server_round, arrays, config, grid)
        return self._instructions(messages, {})

    @reads_once
    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Make the strategy's metrics, which are not covered by differential privacy."""
        return self.strategy.aggregate_evaluate(server_round, replies)

    def privacy_spent(self) -> PrivacySpent | None:
        """Return what all releases so far have cost; ``None`` without an accountant."""
        return None if self.accountant is None else self.accountant.get_privacy_spent()

    def state_dict(self) -> dict[str, Any]:
        """Return what the rounds to come depend on, as plain data.

        The state of noise is not in it: after a restart, fresh noise is drawn.
        """
        return {
            **super().state_dict(),
            "strategy": self.strategy.state_dict(),
            "accountant": None if self.accountant is None else self.accountant.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` gave; see :meth:`Strategy.load_state_dict`.

        Raises
        ------
        ValueError
            If it does not fit; also if only one of the two has an accountant, which then would not
            know of all releases.
        """
        if (state.get("accountant") is None) != (self.accountant is None):
            which = "The state has no" if self.accountant else "Only the state has an"
            raise ValueError(f"{which} accountant: not all releases would be accounted for.")
        super().load_state_dict(state)
        self.strategy.load_state_dict(state["strategy"])
        if self.accountant is not None:
            self.accountant.load_state_dict(state["accountant"])

    def _begin_anew(self) -> None:
        self.strategy._begin_anew()

    @abstractmethod
    def _settings(self) -> list[str]:
        """Return the lines of the summary."""

    def _instructions(
        self, messages: Iterable[Message], settings: Mapping[str, float]
    ) -> Iterable[Message]:
        """Return messages with settings and what `configure_node` says in their configurations.

        Messages that share a content go on sharing one, unless each node has its own.
        """
        shared = type(self).configure_node is Strategy.configure_node
        if shared and not settings:
            return messages
        key = self.strategy.configrecord_key
        contents: dict[int, tuple[RecordDict, RecordDict]] = {}
        changed = []
        for message in messages:
            given = message.content
            if id(given) not in contents or not shared:
                config = ConfigRecord({**given.config_records.get(key, {}), **settings})
                if not shared:
                    node_id = message.metadata.dst_node_id
                    own = self.configure_node(node_id, config)
                    config = as_config(own, self.configure_node, node_id)
                contents[id(given)] = given, RecordDict({**given, key: config})
            changed.append(Message(metadata=message.metadata, content=contents[id(given)][1]))
        return changed

    def _received(self, replies: Iterable[Message]) -> Iterable[Message]:
        """Return the replies as the strategy is given them; those given to us stay."""
        taken = map(self._without_bit, replies)  # holds none of them, unlike a generator
        return list(taken) if isinstance(replies, list) else taken

    def _without_bit(self, reply: Message) -> Message:
        """Return a reply without what `adaptiveclipping_mod` adds: no metric is made of it."""
        if not reply.has_content():
            return reply
        records = reply.content.metric_records
        stripped = {
            name: MetricRecord({key: value for key, value in record.items() if key != KEY_NORM_BIT})
            for name, record in records.items()
            if KEY_NORM_BIT in record
        }
        if not stripped:
            return reply
        return Message(metadata=reply.metadata, content=RecordDict({**reply.content, **stripped}))

    def _note_release(self, mean: ClippedMean) -> None:
        """Log what was released, and tell the accountant."""
        say_released(mean, self._clipped_line)
        if self.accountant is not None and self._event is not None:
            self.accountant.compose(self._event)
            spent = self.accountant.get_privacy_spent()
            log(
                INFO,
                "Privacy spent: epsilon=%.6f at delta=%g after %d releases",
                spent.epsilon,
                spent.delta,
                spent.num_releases,
            )

    def _event_of(self, accountant: PrivacyAccountant | None) -> GaussianPrivacyEvent | None:
        """Return what a round costs.

        Raises
        ------
        ValueError
            If the accountant cannot account for it.
        """
        if accountant is None:
            return None
        if self.noise_multiplier == 0:
            raise ValueError("An accountant needs a noise multiplier above 0.")
        sampling = accountant.config.sampling_method
        if sampling is not SamplingMethod.NO_AMPLIFICATION:
            raise ValueError(
                f"The accountant's sampling_method is '{sampling}', but nodes are not sampled in "
                "such a way: use 'no-amplification'."
            )
        return GaussianPrivacyEvent(
            self.noise_multiplier, self.num_sampled_clients, accountant.config.population_size
        )

    def _check_cohort(self, count: int) -> None:
        if count == self.num_sampled_clients:
            return
        message = f"{count} nodes are asked, but num_sampled_clients is {self.num_sampled_clients}"
        if self.accountant is not None:
            raise ValueError(f"{message}: the accountant needs the same number.")
        log(WARNING, "configure_train: %s, for which the noise is scaled.", message)

    def _check_budget(self) -> None:
        accountant, event = self.accountant, self._event
        if accountant is None or event is None or accountant.config.max_epsilon is None:
            return
        if accountant.would_exceed(event):
            spent, limit = accountant.get_privacy_spent(), accountant.config.max_epsilon
            raise PrivacyBudgetExhausted(
                f"One more release would cost more than max_epsilon={limit:g} at "
                f"delta={spent.delta:g}: epsilon={spent.epsilon:.6f} is spent after "
                f"{spent.num_releases} releases."
            )

    def _takes_stream(self, aggregate: Callable[[int, Iterable[Message]], object]) -> bool:
        training = aggregate == self.aggregate_train
        inner = self.strategy.aggregate_train if training else self.strategy.aggregate_evaluate
        return super()._takes_stream(aggregate) and self.strategy._takes_stream(inner)


def _averaging(strategy: Strategy | None) -> FedAvg:
    """Return a strategy if its models come from FedAvg's mean.

    Raises
    ------
    ValueError
        If it has another rule.
    """
    check_averages(strategy, FedAvg, _MAKERS)
    assert isinstance(strategy, FedAvg)
    return strategy
