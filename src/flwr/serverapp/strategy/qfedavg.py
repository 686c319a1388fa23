"""q-FedAvg: nodes with a higher loss count more."""

import math
from collections.abc import Callable, Iterable
from logging import INFO
from typing import ClassVar, Self

import numpy as np

from flwr.app import ArrayRecord, ConfigRecord, Message, memory
from flwr.app.layout import Layout
from flwr.log import log
from flwr.serverapp.exception import AggregationError, InconsistentMessageReplies
from flwr.serverapp.grid import Grid
from flwr.serverapp.strategy.alignment import Alignment
from flwr.serverapp.strategy.fedavg import FedAvg
from flwr.serverapp.strategy.metrics import MetricsFunction
from flwr.serverapp.strategy.reducers import ArrayMean
from flwr.serverapp.strategy.replies import Update
from flwr.serverapp.strategy.serversteps import (
    Momentum,
    by_name,
    check_range,
    misfit,
    no_model,
    take_step,
)
from flwr.serverapp.strategy.sums import BLOCK, part_of

SMALLEST_LOSS = 1e-10  # is added to each loss: a loss of 0 has no power below 0


class FairMean:
    """The new model of q-FedAvg, from sums that need no reply twice.

    With ``L = 1 / lr`` and ``a_k = F_k^q``, Algorithm 2's ``w - sum(Delta_k) / sum(h_k)`` is
    ``w + s (mean - w)``, where ``mean`` is that of the models weighted by ``a_k`` and
    ``s = A / (A + B)``, ``A = sum(a_k)``, ``B = sum(q F_k^(q-1) L ||w - w_k||^2)``. Replies of
    weight 0 are checked, not summed.

    Parameters
    ----------
    mean : ArrayMean
        Sums the models.
    model : ArrayRecord
        ``w``, the model that was sent out.
    q, client_learning_rate : float
        ``q`` and ``lr``.
    loss_of : Callable[[Update], float]
        Gives the loss ``F_k`` of a node, finite and not negative.
    """

    kind: ClassVar = "streaming"

    def __init__(
        self,
        mean: ArrayMean,
        model: ArrayRecord,
        q: float,
        client_learning_rate: float,
        loss_of: Callable[[Update], float],
    ) -> None:
        self.model = model
        self.q = q
        self.client_learning_rate = client_learning_rate
        self.loss_of = loss_of
        self._mean = mean
        self.start()

    def start(self) -> None:
        """Forget what was added; ready for a round."""
        self._mean.start()
        self._alignment = Alignment()
        self._sent: np.ndarray | None = None  # the bytes of the model, laid out as the replies
        self._powers = 0.0  # A
        self._drifts = 0.0  # B

    def add(self, update: Update) -> None:
        """Take in the arrays and the loss of one reply.

        Raises
        ------
        InconsistentMessageReplies
            If the arrays do not fit those of the first reply, or of the model.
        AggregationError
            If there is no loss, or its power is no float.
        """
        buffer, layout = self._alignment.buffer_of(update), self._alignment.layout
        if self._sent is None:
            self._sent = self._sent_as(layout, update)
        power = 0.0
        if update.weight > 0:
            power, slope = self._powers_of_loss(update)
            self._powers += power
            self._drifts += slope * squared_distance(layout, buffer, self._sent) if slope else 0.0
        if memory.layout_of(update.arrays) is not layout:
            update = update._replace(arrays=memory.adopt(layout, buffer))
        self._mean.add(update._replace(weight=power))

    def merge(self, other: Self) -> None:
        """Take in what another reducer was given, as if it came next; that one starts again.

        Raises
        ------
        InconsistentMessageReplies
            If the arrays of the two lie differently.
        """
        self._mean.merge(other._mean)
        self._powers += other._powers
        self._drifts += other._drifts
        other.start()

    def finish(self) -> ArrayRecord | None:
        """Return the new model and start again; ``None`` if nothing of weight was added."""
        mean, powers, drifts = self._mean.finish(), self._powers, self._drifts
        self.start()
        if mean is None or drifts == 0:
            return mean
        rule = Momentum(powers / (powers + drifts))
        return take_step(rule, by_name(self.model, "q-FedAvg"), mean)

    def _powers_of_loss(self, update: Update) -> tuple[float, float]:
        """Return ``F^q`` and ``q F^(q-1) L`` of a reply."""
        loss = self.loss_of(update) + SMALLEST_LOSS
        try:
            power = loss**self.q
            slope = self.q * loss ** (self.q - 1) / self.client_learning_rate
        except OverflowError:
            power = slope = math.inf
        if not 0 < power < math.inf or slope == math.inf:
            raise AggregationError(
                f"The loss {loss:g} of node {update.node_id} to the power of q = {self.q:g} is "
                "beyond what a float can hold."
            )
        return power, slope

    def _sent_as(self, layout: Layout, update: Update) -> np.ndarray:
        """Return the bytes of the model, laid out as the replies; this is the first of them."""
        if memory.layout_of(self.model) is layout:
            return memory.packed(self.model)
        model = by_name(self.model, "q-FedAvg")
        buffer = np.empty(layout.nbytes, np.uint8)
        arrays = dict(zip(layout.names, layout.views(buffer), strict=True))
        difference = misfit(arrays, model)
        if difference is not None:
            raise InconsistentMessageReplies(
                f"ArrayRecord '{update.arrays_name}' of node {update.node_id} does not fit the "
                f"global model: {difference}."
            )
        for name, array in arrays.items():
            array[...] = model[name]
        return buffer


class QFedAvg(FedAvg):
    """q-FedAvg [1]_, Algorithm 2: the higher the loss of a node, the more it counts.

    With ``L = 1 / lr``, node ``k``'s loss ``F_k`` and ``dw_k = L (w - w_k)``:
    ``Delta_k = F_k^q dw_k``, ``h_k = q F_k^(q-1) ||dw_k||^2 + L F_k^q``,
    ``w -= sum(Delta_k) / sum(h_k)``. Use it where no node should be left far behind: the larger
    ``q``, the more even the losses; with 0 it is the plain mean of the models, each counting the
    same.

    Nodes must report as ``train_loss`` the loss of the model that they were *sent*, on their own
    data, measured before they train: that is the ``F_k`` of the paper.

    Parameters
    ----------
    client_learning_rate : float
        ``lr``, with which the nodes train.
    q : float, default 0.1
        How much the loss counts; 0 or more.
    train_loss_key : str, default "train_loss"
        The metric that holds the loss.
    fraction_train, fraction_evaluate, min_train_nodes, min_evaluate_nodes, min_available_nodes
        As for :class:`FedAvg`.
    weighted_by_key, arrayrecord_key, configrecord_key
        As for :class:`FedAvg`.
    train_metrics_aggr_fn, evaluate_metrics_aggr_fn
        As for :class:`FedAvg`.

    Attributes
    ----------
    current_arrays : ArrayRecord or None
        The model that was sent out last.

    References
    ----------
    .. [1] Li et al., Fair Resource Allocation in Federated Learning,
       https://arxiv.org/abs/1905.10497

    Notes
    -----
    Numbers of examples weight the metrics, not the models, but a node with none is left out. The
    norm is over all arrays of floats; whole numbers are averaged. Values that are not finite do
    not enter it: they spoil their own place in the model only.
    """

    def __init__(
        self,
        client_learning_rate: float,
        q: float = 0.1,
        train_loss_key: str = "train_loss",
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
        check_range("q", q)
        check_range("client_learning_rate", client_learning_rate)
        if client_learning_rate == 0:
            raise ValueError("client_learning_rate must be above 0: q-FedAvg divides by it.")
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
        self.client_learning_rate = client_learning_rate
        self.q = q
        self.train_loss_key = train_loss_key
        self.current_arrays: ArrayRecord | None = None

    def summary(self) -> None:
        """Log the settings of q-FedAvg, then FedAvg's."""
        log(INFO, "\t├──> q-FedAvg settings:")
        log(INFO, "\t│\t├── client_learning_rate: %s", self.client_learning_rate)
        log(INFO, "\t│\t├── q: %s", self.q)
        log(INFO, "\t│\t└── train_loss_key: '%s'", self.train_loss_key)
        super().summary()

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Draw this round's nodes and send them the model, which is kept as the current one."""
        self.current_arrays = arrays
        return super().configure_train(server_round, arrays, config, grid)

    def _array_reducer(self, phase: str, together: int) -> FairMean:
        model = self.current_arrays
        if model is None:
            raise no_model(type(self).__name__)
        mean = ArrayMean(phase, together=together)
        return FairMean(mean, model, self.q, self.client_learning_rate, self._loss_of)

    def _loss_of(self, update: Update) -> float:
        key = self.train_loss_key
        value = update.metrics.get(key)
        if not isinstance(value, int | float) or not 0 <= value < math.inf:
            what = "lacks" if value is None else f"has {value!r:.60} as"
            raise AggregationError(
                f"Node {update.node_id} {what} '{key}' in its metrics. q-FedAvg needs the loss of "
                "the model that the node was sent, a single number that is finite and not negative."
            )
        return float(value)


@np.errstate(all="ignore")  # of values that are not finite the mean tells
def squared_distance(layout: Layout, arrays: np.ndarray, model: np.ndarray) -> float:
    """Return ``||model - arrays||^2`` over all finite values of arrays of floats.

    Parameters
    ----------
    layout : Layout
        How both lie.
    arrays, model : np.ndarray
        Their bytes. Differences and the sums of blocks are computed as `sums` does, float32 in
        float32, and blocks are summed in float64.
    """
    distance = 0.0
    for part in (part_of(layout, run) for run in layout.runs if run.count):
        if part.dtype.kind in "biu":
            continue
        new, old = part.values(arrays), part.values(model)
        room = np.empty(min(new.size, BLOCK), part.total)
        for low in range(0, new.size, BLOCK):
            squares = room[: new.size - low]
            np.subtract(
                new[low : low + BLOCK], old[low : low + BLOCK], out=squares, dtype=part.total
            )
            np.square(squares, out=squares)
            sum_of_block = float(np.add.reduce(squares))
            if not math.isfinite(sum_of_block):
                sum_of_block = float(np.add.reduce(squares, where=np.isfinite(squares)))
            distance += sum_of_block
    return distance
