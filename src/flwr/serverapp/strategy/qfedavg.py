"""q-FedAvg: nodes with a higher loss count more."""

import math
from collections.abc import Callable, Iterable, Sequence
from logging import INFO, WARNING
from typing import Self

import numpy as np

from flwr.app import ArrayRecord, ConfigRecord, Message, memory
from flwr.app.layout import Layout
from flwr.log import log
from flwr.serverapp.exception import AggregationError, InconsistentMessageReplies
from flwr.serverapp.grid import Grid
from flwr.serverapp.strategy.fedavg import FedAvg
from flwr.serverapp.strategy.metrics import MetricsFunction
from flwr.serverapp.strategy.reducers import ArrayMean
from flwr.serverapp.strategy.replies import Update
from flwr.serverapp.strategy.serversteps import (
    Momentum,
    by_name,
    misfit,
    no_model,
    take_step,
)
from flwr.serverapp.strategy.settings import check_range
from flwr.serverapp.strategy.sums import BLOCK, parts_of

_ROW = 1 << 12  # values whose squares are summed at once: few enough to be accurate in float32
SMALLEST_LOSS = 1e-10  # is added to each loss: a loss of 0 has no power below 0


class FairMean(ArrayMean):
    """The new model of q-FedAvg, from sums that need no reply twice.

    With ``L = 1 / lr`` and ``a_k = F_k^q``, Algorithm 2's ``w - sum(Delta_k) / sum(h_k)`` is
    ``w + s (mean - w)``, where ``mean`` is that of the models weighted by ``a_k`` and
    ``s = A / (A + B)``, ``A = sum(a_k)``, ``B = sum(q F_k^(q-1) L ||w - w_k||^2)``. Replies of
    weight 0 are checked, not summed.

    Parameters
    ----------
    phase : str
        The name of the step in warnings.
    model : ArrayRecord
        ``w``, the model that was sent out.
    q, client_learning_rate : float
        ``q`` and ``lr``.
    loss_of : Callable[[Update], float]
        Gives the loss ``F_k`` of a node, finite and not negative.
    together : int, default 1
        As for `ArrayMean`.
    """

    def __init__(
        self,
        phase: str,
        model: ArrayRecord,
        q: float,
        client_learning_rate: float,
        loss_of: Callable[[Update], float],
        *,
        together: int = 1,
    ) -> None:
        self.model = model
        self.q = q
        self.client_learning_rate = client_learning_rate
        self.loss_of = loss_of
        super().__init__(phase, together=together)

    def start(self) -> None:
        """Forget what was added; ready for a round."""
        super().start()
        self._sent: np.ndarray | None = None  # the bytes of the model, laid out as the replies
        self._slopes: list[float] = []  # of the replies that are held
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
        power = 0.0
        if update.weight > 0:
            power, slope = self._powers_of_loss(update)
            self._powers += power
            self._slopes.append(slope)
        super().add(update._replace(weight=power))

    def merge(self, other: Self) -> None:
        """Take in what another reducer was given, as if it came next; that one starts again.

        Raises
        ------
        InconsistentMessageReplies
            If the arrays of the two lie differently.
        """
        other._sum()
        powers, drifts = other._powers, other._drifts
        super().merge(other)
        self._powers += powers
        self._drifts += drifts

    def finish(self) -> ArrayRecord | None:
        """Return the new model and start again; ``None`` if nothing of weight was added."""
        self._sum()
        powers, drifts = self._powers, self._drifts
        mean = super().finish()
        if mean is None or drifts == 0:
            return mean
        rule = Momentum(powers / (powers + drifts))
        return take_step(rule, by_name(self.model, "q-FedAvg"), mean)

    def _add_held(self, *, last: bool = False) -> None:
        """Measure how far the replies at hand drifted, too: the model is then read once for all."""
        slopes, self._slopes = self._slopes, []
        layout, buffers = self._alignment.layout, [buffer for _, buffer, _ in self._held]
        if self._sent is None:
            self._sent = self._sent_as(layout, self._held[0][0])
        if any(slopes):
            distances = squared_distances(layout, buffers, self._sent)
            for slope, distance in zip(slopes, distances, strict=True):
                self._drifts += slope * distance if slope else 0.0
        super()._add_held(last=last)

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

    def _sent_as(self, layout: Layout, node_id: int) -> np.ndarray:
        """Return the bytes of the model, laid out as the replies; a node sent the first of them."""
        if memory.layout_of(self.model) is layout:
            return memory.packed(self.model)
        model = by_name(self.model, "q-FedAvg")
        buffer = np.empty(layout.nbytes, np.uint8)
        arrays = dict(zip(layout.names, layout.views(buffer), strict=True))
        difference = misfit(arrays, model)
        if difference is not None:
            raise InconsistentMessageReplies(
                f"The reply of node {node_id} does not fit the global model: {difference}."
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
    not enter it: they spoil their own place in the model only. With ``0 < q < 1``, a node with a
    loss of 0 keeps the model from moving, whatever the others send; there is one warning.
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
        self._told_of_no_loss = False

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
        return FairMean(
            phase, model, self.q, self.client_learning_rate, self._loss_of, together=together
        )

    def _loss_of(self, update: Update) -> float:
        key = self.train_loss_key
        value = update.metrics.get(key)
        if not isinstance(value, int | float) or not 0 <= value < math.inf:
            what = "lacks" if value is None else f"has {value!r:.60} as"
            raise AggregationError(
                f"Node {update.node_id} {what} '{key}' in its metrics. q-FedAvg needs the loss of "
                "the model that the node was sent, a single number that is finite and not negative."
            )
        if value <= SMALLEST_LOSS and 0 < self.q < 1 and not self._told_of_no_loss:
            self._told_of_no_loss = True
            log(
                WARNING,
                "%s: the loss of node %d is %g. With q = %g, F^(q-1) is then so large that the "
                "model hardly moves in this round: use a q of 0 or of 1 and more, or a loss that "
                "stays above 0. This is said once.",
                type(self).__name__,
                update.node_id,
                value,
                self.q,
            )
        return float(value)


@np.errstate(all="ignore")  # of values that are not finite the mean tells
def squared_distances(
    layout: Layout, replies: Sequence[np.ndarray], model: np.ndarray
) -> list[float]:
    """Return ``||model - reply||^2`` of each reply, over all finite values of arrays of floats.

    Parameters
    ----------
    layout : Layout
        How all of them lie.
    replies, model : np.ndarray
        Their bytes. Differences and squares are taken as `sums` does, float32 in float32, and in
        float64 where that is too narrow; sums of a few thousand squares are added in float64.
    """
    distances = [0.0] * len(replies)
    for part in parts_of(layout):
        if part.dtype.kind in "biu":
            continue
        new, old = [part.values(reply) for reply in replies], part.values(model)
        room = np.empty(min(old.size, BLOCK), part.total)
        for low in range(0, old.size, BLOCK):
            block = old[low : low + BLOCK]
            for index, values in enumerate(new):
                distances[index] += _squared_distance(values[low : low + BLOCK], block, room)
    return distances


def _squared_distance(new: np.ndarray, old: np.ndarray, room: np.ndarray) -> float:
    distance = _sum_of_squares(np.subtract(new, old, out=room[: new.size], dtype=room.dtype))
    if math.isfinite(distance):
        return distance
    wide = np.subtract(new, old, dtype=np.result_type(room.dtype, np.float64))
    return _sum_of_squares(wide[np.isfinite(wide)])


def _sum_of_squares(values: np.ndarray) -> float:
    """Return the sum of the squares of a vector."""
    rest = values.size % _ROW
    rows = values[: values.size - rest].reshape(-1, _ROW)
    total = float(np.add.reduce(np.vecdot(rows, rows), dtype=np.float64))
    return total + float(np.vecdot(values[-rest:], values[-rest:])) if rest else total
