"""XGBoost by bagging: the trees of all nodes, side by side."""

from collections.abc import Iterable
from logging import WARNING
from typing import ClassVar, Self

import numpy as np

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, memory
from flwr.log import log
from flwr.serverapp.exception import AggregationError, InconsistentMessageReplies
from flwr.serverapp.grid import Grid
from flwr.serverapp.strategy.fedavg import FedAvg
from flwr.serverapp.strategy.fedxgb_trees import TreeModel
from flwr.serverapp.strategy.reducers import reduce_replies
from flwr.serverapp.strategy.replies import ReplyReader, Update
from flwr.serverapp.strategy.strategy import reads_once


class TreeUnion:
    """The trees of all models, put after those of the global model in the order of the nodes' ids.

    Parameters
    ----------
    phase : str
        The name of the step in warnings.
    base : TreeModel, optional
        The global model, extended by `finish`. Without one, the model of the node with the lowest
        id becomes it.
    """

    kind: ClassVar = "streaming"

    def __init__(self, phase: str, base: TreeModel | None = None) -> None:
        self.phase = phase
        self.base = base
        self.start()

    def start(self) -> None:
        """Forget what was added; ready for a round."""
        self._models: list[tuple[int, TreeModel]] = []

    def add(self, update: Update) -> None:
        """Take in the model that is the one array of a reply.

        Raises
        ------
        InconsistentMessageReplies
            If there are more arrays or none, or the model's trees do not add up with the others.
        AggregationError
            If it is no model of XGBoost, or one whose trees cannot be added.
        """
        where = f"ArrayRecord '{update.arrays_name}' of node {update.node_id}"
        _, text = only_array(update.arrays, where)
        try:
            model = TreeModel(text)
        except ValueError as error:
            raise AggregationError(f"The model in {where} cannot be used: {error}.") from error
        self._check(update.node_id, model)
        self._models.append((update.node_id, model))

    def _check(self, node_id: int, model: TreeModel) -> None:
        if self.base is not None:
            other, whose = self.base, "the global model"
        elif self._models:
            other, whose = self._models[0][1], f"that of node {self._models[0][0]}"
        else:
            return
        difference = model.difference(other)
        if difference is not None:
            raise InconsistentMessageReplies(
                f"The XGBoost model of node {node_id} has {difference}, compared with {whose}; "
                "trees of such models do not add up. Give all nodes the same parameters."
            )

    def merge(self, other: Self) -> None:
        """Take in what another reducer was given; that one starts again.

        Raises
        ------
        InconsistentMessageReplies
            If the models of the two do not add up.
        """
        for node_id, model in other._models[:1]:
            self._check(node_id, model)
        self._models += other._models
        other.start()

    def finish(self) -> TreeModel | None:
        """Return the union and start again; ``None`` if nothing was added."""
        models = sorted(self._models, key=lambda pair: pair[0])
        self.start()
        if not models:
            return None
        total = self.base or models.pop(0)[1]
        different = {
            node: model.base_score for node, model in models if model.base_score != total.base_score
        }
        if different:
            log(
                WARNING,
                "%s: the merged model keeps base_score %s; trees were trained on another one at %s."
                " Set the same base_score at all nodes.",
                self.phase,
                total.base_score,
                ", ".join(f"node {node} ({score})" for node, score in different.items()),
            )
        for _, model in models:
            total.append(model)
        return total


class FedXgbBagging(FedAvg):
    """XGBoost by bagging: each round, the trees that the nodes grew join the global model.

    A node boosts the global model by one round or more on its own data and sends back the new
    rounds only, ``bst[n - k : n]``. With global model ``F`` and the nodes' new trees ``f_k``, the
    next model predicts ``F + f_1 + ... + f_K``: as each ``f_k`` is a full step, divide the learning
    rate by the number of nodes. Works for regression, binary and multi-class objectives and for
    random forests (``num_parallel_tree``).

    The model travels as the bytes of ``Booster.save_raw("json")`` in a uint8 array, the only one of
    its ArrayRecord; ``ArrayRecord([np.array([], np.uint8)])`` stands for "no trees yet". The binary
    format that ``save_raw()`` gives (UBJSON) is read, too; the next model is JSON all the same.

    Parameters
    ----------
    fraction_train, fraction_evaluate : float, default 1.0
        The share of the connected nodes that is asked in a round. Exactly 0.0 skips the phase.
    min_train_nodes, min_evaluate_nodes : int, default 2
        The fewest nodes that are asked, whatever the fraction.
    min_available_nodes : int, default 2
        The fewest nodes that must be connected before a round's nodes are drawn.
    weighted_by_key : str, default "num-examples"
        The metric that says how much a reply's metrics count; trees are not weighted.
    arrayrecord_key, configrecord_key : str, default "arrays" and "config"
        The names of the model and of the configuration in the instructions.
    train_metrics_aggr_fn, evaluate_metrics_aggr_fn : optional
        As for :class:`FedAvg`.

    Attributes
    ----------
    current_bst : bytes or None
        The global model as JSON: that of the last `configure_train`, then what was made of it.

    Notes
    -----
    The order of trees is that of the nodes' ids, whatever the order of replies. Models whose
    objective, classes, features, categories or parallel trees differ raise
    ``InconsistentMessageReplies``; boosters other than ``gbtree``, ``AggregationError``. If
    ``base_score`` differs there is a warning and the first model's stays: XGBoost estimates it from
    local labels unless it is set.
    """

    current_bst: bytes | None = None
    _array_name = "0"
    _parsed: TreeModel | None = None  # the last global model, kept so that it is parsed once

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Draw this round's nodes and send them the model and the configuration.

        Raises
        ------
        InconsistentMessageReplies
            If ``arrays`` does not hold exactly one array.
        AggregationError
            If it is no model of XGBoost to which trees can be added.
        """
        self._array_name, text = only_array(arrays, "the global ArrayRecord")
        model = self._global_model(text)
        self.current_bst = b"" if model is None else model.text
        return super().configure_train(server_round, arrays, config, grid)

    @reads_once
    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the global model with the trees of all nodes, and the weighted mean of metrics.

        Raises
        ------
        InconsistentMessageReplies
            If replies do not fit together.
        AggregationError
            If a reply's model cannot be used, or there is no global model yet.
        """
        name = "aggregate_train"
        if self.current_bst is None:
            raise AggregationError(
                "FedXgbBagging has no global model to add trees to: configure_train comes first."
            )
        reader = ReplyReader(name, self.weighted_by_key, with_arrays=True)
        trees = TreeUnion(name, self._global_model(self.current_bst))
        metrics = self._metrics_reducer(name, self.train_metrics_aggr_fn)
        reduce_replies(replies, reader, [trees, metrics])
        if not reader.has_weight():
            return None, None
        model = trees.finish()
        assert model is not None
        self._parsed, self.current_bst = model, model.text
        array = Array(np.frombuffer(model.text, np.uint8))
        return ArrayRecord({self._array_name: array}), metrics.finish()

    def _global_model(self, text: bytes) -> TreeModel | None:
        if not text:
            return None
        if self._parsed is None or self._parsed.text != text:
            try:
                self._parsed = TreeModel(text)
            except ValueError as error:
                raise AggregationError(f"The global model cannot be used: {error}.") from error
        return self._parsed


def only_array(arrays: ArrayRecord, where: str) -> tuple[str, bytes]:
    """Return the name and the bytes of the one array that a record must have.

    Raises
    ------
    InconsistentMessageReplies
        If it has more or none.
    """
    if len(arrays) != 1:
        raise InconsistentMessageReplies(
            f"An XGBoost model is one array, but {where} holds {len(arrays)}."
        )
    [name], [values] = arrays, memory.views(arrays)
    return name, values.tobytes()
