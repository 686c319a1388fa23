"""What the server does with the mean of a round: momentum, Adagrad, Adam, Yogi.

A rule says how the difference between the mean and the current model becomes the change of the
model, value by value; its state is a dict of ndarrays for each moment. `take_step` applies a rule
to whole models, block by block, in the memory of the mean. float32 and float64 are computed as
such, narrower floats in float32 (their moments too), complex numbers as pairs of floats. Whole
numbers and bools, counters for example, take no step: they stay as they were averaged.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, get_args

import numpy as np

from flwr.app import ArrayRecord, memory
from flwr.serverapp.exception import AggregationError
from flwr.serverapp.strategy.settings import check_range
from flwr.serverapp.strategy.sums import BLOCK, total_dtype

Arrays = Mapping[str, np.ndarray]
Moment = dict[str, np.ndarray]  # by array; changed in place
BiasCorrection = Literal["flwr", "adam", "none"]


class Rule(Protocol):
    """How a difference becomes a change, value by value."""

    @property
    def starts(self) -> tuple[float, ...]:
        """What the values of each moment are before the first step."""
        ...

    def change(self, delta: np.ndarray, room: np.ndarray, *moments: np.ndarray) -> None:
        """Replace ``delta``, the mean less the model, by what is to be added to the model.

        Parameters
        ----------
        delta, room : np.ndarray
            Values of one block, and as much memory to work in.
        *moments : np.ndarray
            The block's part of each moment, to be changed in place.
        """
        ...


@dataclass(frozen=True)
class Momentum:
    """``v = momentum * v - delta``, ``w += -learning_rate * v``: no Nesterov, no dampening.

    Without momentum there is no state: ``w += learning_rate * delta``.
    """

    learning_rate: float = 1.0
    momentum: float = 0.0

    def __post_init__(self) -> None:
        check_range("server_learning_rate", self.learning_rate)
        check_range("server_momentum", self.momentum, below=1.0)

    @property
    def starts(self) -> tuple[float, ...]:
        """One moment, if there is momentum."""
        return (0.0,) if self.momentum else ()

    def change(self, delta: np.ndarray, _: np.ndarray, *moments: np.ndarray) -> None:
        """Follow the velocity."""
        for velocity in moments:
            np.multiply(velocity, self.momentum, out=velocity)
            np.subtract(velocity, delta, out=velocity)
            np.negative(velocity, out=delta)
        np.multiply(delta, self.learning_rate, out=delta)


@dataclass(frozen=True)
class Adaptive:
    """``m = beta_1 m + (1 - beta_1) delta``, ``w += eta m / (sqrt(v) + tau)``.

    How ``v`` follows ``delta^2`` is what `Adagrad`, `Adam` and `Yogi` differ in. Where nothing
    moves, ``0 / tau`` is no step, also for a tau of 0.
    """

    eta: float
    tau: float
    beta_1: float = 0.0
    beta_2: float = 0.0
    v_init: float = 0.0

    def __post_init__(self) -> None:
        check_range("eta", self.eta)
        check_range("beta_1", self.beta_1, below=1.0)
        check_range("beta_2", self.beta_2, below=1.0)
        check_range("tau", self.tau)
        check_range("v_init", self.v_init)

    @property
    def starts(self) -> tuple[float, ...]:
        """``m`` and ``v``."""
        return 0.0, self.v_init

    @property
    def rate(self) -> float:
        """The learning rate of this step."""
        return self.eta

    def change(self, delta: np.ndarray, room: np.ndarray, *moments: np.ndarray) -> None:
        """Step along ``m``, scaled by ``v``."""
        m, v = moments
        np.square(delta, out=room)
        np.multiply(m, self.beta_1, out=m)
        np.multiply(delta, 1 - self.beta_1, out=delta)
        np.add(m, delta, out=m)
        self._follow(v, room, delta)
        np.sqrt(v, out=room)
        np.add(room, self.tau or np.finfo(room.dtype).tiny, out=room)
        np.multiply(m, self.rate, out=delta)
        np.divide(delta, room, out=delta)

    def _follow(self, v: np.ndarray, square: np.ndarray, room: np.ndarray) -> None:
        """Bring ``v`` nearer to the square; both others are free to be written to."""
        raise NotImplementedError


class Adagrad(Adaptive):
    """``v += delta^2``."""

    def _follow(self, v: np.ndarray, square: np.ndarray, room: np.ndarray) -> None:
        np.add(v, square, out=v)


@dataclass(frozen=True)
class Adam(Adaptive):
    """``v = beta_2 v + (1 - beta_2) delta^2``.

    ``bias_correction`` multiplies eta by ``sqrt(1 - beta_2^t) / (1 - beta_1^t)``, where ``t`` is
    the round for "adam" and the round plus 1 for "flwr"; "none" leaves it.
    """

    bias_correction: BiasCorrection = "none"
    server_round: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.bias_correction not in get_args(BiasCorrection):
            raise ValueError(
                f"bias_correction must be one of {', '.join(map(repr, get_args(BiasCorrection)))}, "
                f"not {self.bias_correction!r}."
            )

    @property
    def rate(self) -> float:
        """Eta, corrected."""
        if self.bias_correction == "none":
            return self.eta
        t = self.server_round + (self.bias_correction == "flwr")
        return self.eta * math.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)

    def _follow(self, v: np.ndarray, square: np.ndarray, room: np.ndarray) -> None:
        np.multiply(v, self.beta_2, out=v)
        np.multiply(square, 1 - self.beta_2, out=square)
        np.add(v, square, out=v)


class Yogi(Adaptive):
    """``v -= (1 - beta_2) delta^2 sign(v - delta^2)``."""

    def _follow(self, v: np.ndarray, square: np.ndarray, room: np.ndarray) -> None:
        np.subtract(v, square, out=room)
        np.sign(room, out=room)
        np.multiply(square, 1 - self.beta_2, out=square)
        np.multiply(square, room, out=square)
        np.subtract(v, square, out=v)


class Pair(NamedTuple):
    """One array's values in two models, in the same order, as vectors of floats.

    They are computed in ``dtype``. The array has ``shape`` and memory ``order``, and twice as many
    floats if it is complex.
    """

    name: str
    new: np.ndarray
    old: np.ndarray
    dtype: np.dtype
    shape: tuple[int, ...]
    order: Literal["C", "F"]
    is_complex: bool


def float_pairs(new: Arrays, old: Arrays) -> Iterator[Pair]:
    """Yield what holds floats in ``new``, next to its values in ``old``.

    Nothing of ``new`` is copied if its arrays are contiguous.
    """
    for name, array in new.items():
        is_complex = array.dtype.kind == "c"
        real = array.real.dtype if is_complex else array.dtype
        dtype = total_dtype(real)
        if dtype is None or real.kind in "biu":
            continue
        order: Literal["C", "F"] = "C" if array.flags.c_contiguous else "F"
        mine, theirs = array.ravel(order), old[name].ravel(order)
        if is_complex:
            mine, theirs = mine.view(real), theirs.astype(array.dtype, copy=False).view(real)
        yield Pair(name, mine, theirs, dtype, array.shape, order, is_complex)


def misfit(new: Arrays, old: Arrays) -> str | None:
    """Say which array of ``new`` is not in ``old`` with the same shape, or is missing from it."""
    for name, array in new.items():
        if name not in old:
            return f"it has no array '{name}'"
        if old[name].shape != array.shape:
            return f"its array '{name}' has shape {old[name].shape}, not {array.shape}"
    return next((f"its array '{name}' is missing" for name in old if name not in new), None)


@np.errstate(all="ignore")  # infinite values are reported by name where replies are reduced
def take_step(
    rule: Rule, current: Arrays, reduced: ArrayRecord, moments: Sequence[Moment] = ()
) -> ArrayRecord:
    """Return the new model.

    Parameters
    ----------
    rule : Rule
        How the server steps.
    current : Mapping[str, np.ndarray]
        The model that was sent out.
    reduced : ArrayRecord
        What the replies came to; used up, the new model lies in its memory. It must not belong to
        anybody else.
    moments : Sequence[dict[str, np.ndarray]]
        One for each of ``rule.starts``, in that order; at first empty. Arrays in it are changed in
        place, those that are read-only or of another kind replaced.

    Raises
    ------
    AggregationError
        If the names or shapes in ``reduced``, or the shapes of moments, are not the model's.
    """
    layout, buffer = memory.layout_of(reduced), _own_bytes(reduced)
    new = dict(zip(layout.names, layout.views(buffer), strict=True))
    difference = misfit(new, current)
    if difference is not None:
        raise AggregationError(
            f"The replies' arrays do not fit the current global model: {difference}."
        )
    for pair in float_pairs(new, current):
        vectors = [
            _vector_of(moment, pair, start)
            for moment, start in zip(moments, rule.starts, strict=True)
        ]
        _step(rule, pair, vectors)
    return memory.adopt(layout, buffer)


def _step(rule: Rule, pair: Pair, moments: Sequence[np.ndarray]) -> None:
    scratch = np.empty((2, min(pair.new.size, BLOCK)), pair.dtype)
    for low in range(0, pair.new.size, BLOCK):
        new, old = pair.new[low : low + BLOCK], pair.old[low : low + BLOCK]
        delta, room = scratch[:, : new.size]
        np.subtract(new, old, out=delta, dtype=pair.dtype)
        rule.change(delta, room, *[moment[low : low + BLOCK] for moment in moments])
        np.add(old, delta, out=delta, dtype=pair.dtype)
        new[...] = delta


def _vector_of(moment: Moment, pair: Pair, start: float) -> np.ndarray:
    """Return one array's part of a moment as a vector of floats that can be written to."""
    name, dtype, order = pair.name, pair.dtype, pair.order
    kept_dtype = np.result_type(dtype, np.complex64) if pair.is_complex else dtype
    kept = moment.get(name)
    if kept is None:
        moment[name] = np.zeros(pair.shape, kept_dtype, order)
    elif kept.shape != pair.shape:
        raise AggregationError(
            f"The server's moment of array '{name}' has shape {kept.shape}, the array {pair.shape}."
        )
    else:
        moment[name] = np.require(kept, kept_dtype, [order, "W"])
    vector = moment[name].ravel(order).view(dtype)
    if kept is None and start:
        vector[...] = start
    return vector


def _own_bytes(record: ArrayRecord) -> np.ndarray:
    """Return the bytes of a record that is given up, to be written to: its own if they can be."""
    backing = memory.backing_of(record)
    if not isinstance(backing, np.ndarray) or backing.base is not None:
        return memory.packed(record).copy()
    backing.setflags(write=True)
    return backing


def by_name(model: ArrayRecord | Arrays | None, strategy: str) -> Arrays:
    """Return the values of the model that a strategy steps from, without copying them.

    Raises
    ------
    AggregationError
        If there is none yet, or an array cannot be read as numbers.
    """
    if model is None:
        raise no_model(strategy)
    if not isinstance(model, ArrayRecord):
        return model
    try:
        return dict(zip(model, memory.views(model), strict=True))
    except (TypeError, ValueError) as error:
        raise AggregationError(
            f"The global model holds an array that cannot be read as numbers: {error}"
        ) from error


def no_model(strategy: str) -> AggregationError:
    """Return the error of a strategy that was not configured before it aggregates."""
    return AggregationError(
        f"{strategy} steps from the current global model, but there is none yet: "
        "`configure_train`, which is given it, comes before `aggregate_train`."
    )


def lent(moment: Moment | None) -> Moment | None:
    """Return a moment for a state: its arrays are read-only from now on, so a step copies them."""
    if moment is None:
        return None
    for array in moment.values():
        array.setflags(write=False)
    return dict(moment)


def taken(moment: Arrays | None) -> Moment | None:
    """Return a moment from a state, whose arrays are never written to."""
    return None if moment is None else lent({name: a.view() for name, a in moment.items()})
