"""Rules that choose some of a round's replies, and the strategy that aggregates only those."""

from abc import abstractmethod
from collections.abc import Callable, Iterable
from logging import WARNING

from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.log import log
from flwr.serverapp.strategy.columns import Columns, Gathered
from flwr.serverapp.strategy.distances import krum_order, repeated_krum, squared_distances
from flwr.serverapp.strategy.fedavg import FedAvg
from flwr.serverapp.strategy.reducers import reduce_replies
from flwr.serverapp.strategy.replies import ReplyReader, Update

SelectionRule = Callable[[list[RecordDict], int, int], list[RecordDict]]


def select_multikrum(
    contents: list[RecordDict], num_malicious_nodes: int, num_nodes_to_select: int
) -> list[RecordDict]:
    """Return the contents whose models have the lowest scores of Krum, the best first.

    Parameters
    ----------
    contents : list[RecordDict]
        The contents of replies, with one ArrayRecord each.
    num_malicious_nodes : int
        How many of them may be malicious.
    num_nodes_to_select : int
        How many to return; at most all that there are.
    """
    distances = squared_distances(_columns_of(contents))
    best = krum_order(distances, num_malicious_nodes)[:num_nodes_to_select]
    return [contents[index] for index in best]


def select_repeated_krum(
    contents: list[RecordDict], num_malicious_nodes: int, num_nodes_to_select: int
) -> list[RecordDict]:
    """Return the contents that Krum picks one after the other, each from those that are left.

    The rule of Bulyan's paper; parameters as in `select_multikrum`.
    """
    if num_nodes_to_select >= len(contents):
        return contents
    distances = squared_distances(_columns_of(contents))
    picked = repeated_krum(distances, num_malicious_nodes, num_nodes_to_select)
    return [contents[index] for index in picked]


class SelectingStrategy(FedAvg):
    """What `MultiKrum` and `Bulyan` share: only some of a round's replies count.

    Attributes
    ----------
    num_malicious_nodes : int
        The number of nodes in a round that may be malicious.
    """

    num_malicious_nodes: int

    @abstractmethod
    def _selected(self, updates: list[Update]) -> list[Update]:
        """Return the updates that count, of all good ones; none skips the round."""

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return what the models and the metrics of the selected replies come to.

        Raises
        ------
        InconsistentMessageReplies
            If replies do not fit together, or lack an array of the model that was sent.
        AggregationError
            If an array is of a kind that the rule cannot read.
        """
        name = "aggregate_train"
        reader = self._training_reader(name)
        gathered = Gathered()
        metrics = self._metrics_reducer(name, self.train_metrics_aggr_fn)
        reduce_replies(replies, reader, [gathered, metrics])
        metrics.start()  # it has checked all replies, and is to sum only some
        updates = gathered.finish()
        if updates is None or not reader.has_weight():
            return None, None
        selected = self._selected(updates)
        if len(selected) == 1:  # it is the result, whatever it weighs
            selected = [selected[0]._replace(weight=1.0)]
        elif selected and not any(update.weight for update in selected):
            log(
                WARNING,
                "%s: key '%s' is 0 in all %d selected replies; no metrics are aggregated in this "
                "round",
                name,
                self.weighted_by_key,
                len(selected),
            )
        arrays = self._array_reducer(name, 1)
        for update in selected:
            arrays.add(update)
            metrics.add(update)
        return self._next_model(server_round, arrays.finish()), metrics.finish()

    def _picked(self, updates: list[Update], rule: SelectionRule, count: int) -> list[Update]:
        """Return the updates whose contents a rule picks, in its order."""
        by_content = {id(update.content): update for update in updates}
        contents = rule([u.content for u in updates], self.num_malicious_nodes, count)
        reader = ReplyReader("aggregate_train", self.weighted_by_key, with_arrays=True)
        return [
            by_content.get(id(content)) or reader.update(number, content)
            for number, content in enumerate(contents)
        ]


def _columns_of(contents: list[RecordDict]) -> Columns:
    gathered = Gathered()
    for number, content in enumerate(contents):
        name, arrays = next(
            (name, record) for name, record in content.items() if isinstance(record, ArrayRecord)
        )
        gathered.add(Update(number, content, arrays, name, MetricRecord(), 0.0))
    return gathered.columns()
