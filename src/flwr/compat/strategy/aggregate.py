"""The rules of the strategies as functions of ``(list of ndarrays, number of examples)`` pairs.

What is given stays as it is. Arrays of integers or bools count as float64, and so does the result.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from flwr.app import ArrayRecord
from flwr.compat.clients.client_proxy import ClientProxy
from flwr.compat.strategy.selecting import best_by_krum, for_bulyan
from flwr.compat.strategy.updates import Result, updates_from, updates_of
from flwr.compat.typing import FitRes, NDArrays
from flwr.serverapp.strategy.columnwise import (
    Columnwise,
    Rule,
    mean_around_median,
    median,
    trimmed_mean,
)
from flwr.serverapp.strategy.reducers import TOGETHER, ArrayMean, Reducer
from flwr.serverapp.strategy.replies import Update

Results = list[tuple[NDArrays, int]]


def aggregate(results: Results) -> NDArrays:
    """Return the mean of models, weighted by examples; of none, an empty list.

    Raises
    ------
    ZeroDivisionError
        If there are no examples at all.
    InconsistentMessageReplies
        If the models' arrays differ in number or shape; it is a `ValueError`, too.
    """
    return _mean(_updates(results)) if results else []


def aggregate_inplace(results: list[tuple[ClientProxy, FitRes]]) -> NDArrays:
    """Return the mean of clients' models, weighted by examples, each array in its dtype.

    Integers are rounded half to even, and a bool is true from a mean of 0.5.

    Raises
    ------
    ZeroDivisionError
        If there are no examples at all.
    InconsistentMessageReplies
        As for :func:`aggregate`.
    """
    return _mean(updates_of(results))


def aggregate_median(results: Results) -> NDArrays:
    """Return the median of models, coordinate by coordinate; examples do not count."""
    return _columnwise(_updates(results), median)


def aggregate_trimmed_avg(results: Results, proportiontocut: float) -> NDArrays:
    """Return the mean of models without the extremes of each coordinate; examples do not count.

    Parameters
    ----------
    results : list of (list of np.ndarray, int)
        The models.
    proportiontocut : float
        The share of values that is left out at each end, from 0 to below 0.5.

    Raises
    ------
    ValueError
        If it is out of range.
    """
    if not 0.0 <= proportiontocut < 0.5:
        raise ValueError(
            f"Proportion to cut must be in the range [0, 0.5), but is {proportiontocut}."
        )
    return _columnwise(_updates(results), partial(trimmed_mean, beta=proportiontocut))


def aggregate_krum(results: Results, num_malicious: int, to_keep: int) -> NDArrays:
    """Return the model that lies closest to most of the others, or the mean of several such.

    Parameters
    ----------
    results : list of (list of np.ndarray, int)
        The models.
    num_malicious : int
        How many of them may be malicious.
    to_keep : int
        How many are averaged, weighted by examples; 0 takes the best one as it is.

    Raises
    ------
    ValueError
        If there is no model.
    """
    if not results:
        raise ValueError("Krum chooses among models, but there are none.")
    best = best_by_krum(_updates(results), num_malicious, to_keep)
    return _mean(best) if to_keep > 0 else results[best[0].node_id][0]


def aggregate_bulyan(
    results: Results,
    num_malicious: int,
    aggregation_rule: Callable[..., Any],
    **aggregation_rule_kwargs: Any,
) -> NDArrays:
    """Return the mean, coordinate by coordinate, of the values around the median of chosen models.

    Parameters
    ----------
    results : list of (list of np.ndarray, int)
        The models; examples do not count.
    num_malicious : int
        How many of them may be malicious.
    aggregation_rule : Callable
        `aggregate_krum`; there is no other.
    **aggregation_rule_kwargs
        Its arguments: ``to_keep``, which is 0.

    Raises
    ------
    ValueError
        If there are fewer than ``4 * num_malicious + 3`` models, or the rule is another.
    """
    check_bulyan_rule(aggregation_rule, **aggregation_rule_kwargs)
    chosen = for_bulyan(_updates(results), num_malicious)
    return _columnwise(chosen, partial(mean_around_median, leave_out=2 * num_malicious))


def check_bulyan_rule(rule: Callable[..., Any], *, to_keep: int = 0) -> None:
    """Check how Bulyan is to select models.

    Raises
    ------
    ValueError
        If it is not by Krum, one at a time.
    """
    if rule is not aggregate_krum:
        raise ValueError(
            f"Bulyan selects models by aggregate_krum, not by {getattr(rule, '__name__', rule)}: "
            "the given aggregation rule is not Byzantine resilient."
        )
    if to_keep != 0:
        raise ValueError(f"Bulyan selects one model at a time: to_keep must be 0, not {to_keep}.")


def aggregate_qffl(
    parameters: NDArrays, deltas: list[NDArrays], hs_fll: list[NDArrays]
) -> NDArrays:
    """Return ``parameters - sum(deltas) / sum(hs_fll)``, the step of q-FedAvg."""
    total = float(np.sum(np.asarray(hs_fll)))
    return [
        layer - sum(delta[place] for delta in deltas) / total
        for place, layer in enumerate(parameters)
    ]


def weighted_loss_avg(results: list[tuple[int, float]]) -> float:
    """Return the mean of losses, weighted by examples.

    Raises
    ------
    ZeroDivisionError
        If there are no examples at all.
    """
    examples = sum(count for count, _ in results)
    return sum(count * loss for count, loss in results) / examples


def _updates(results: Results) -> Iterator[Update]:
    return updates_from(
        [
            Result(place, f"model {place}", [_as_floats(array) for array in model], float(examples))
            for place, (model, examples) in enumerate(results)
        ]
    )


def _as_floats(array: Any) -> np.ndarray:
    values: np.ndarray = np.asarray(array)
    return values.astype(np.float64) if values.dtype.kind in "biu" else values


def _mean(updates: Iterable[Update]) -> NDArrays:
    arrays = _reduced(updates, ArrayMean("aggregate", together=TOGETHER))
    if arrays is None:
        raise ZeroDivisionError("The models have no examples at all, so there is no mean.")
    return arrays


def _columnwise(updates: Iterable[Update], rule: Rule) -> NDArrays:
    return _reduced(updates, Columnwise("aggregate", rule)) or []


def _reduced(updates: Iterable[Update], reducer: Reducer[ArrayRecord]) -> NDArrays | None:
    for update in updates:
        reducer.add(update)
    record = reducer.finish()
    return None if record is None else record.to_numpy_ndarrays()
