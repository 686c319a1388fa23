"""Distances between models, and whom Krum trusts by them.

All is computed in float64. In each block, distances come from one matrix product of the models'
differences to one of them; where a pair lies so much closer together than to that one that its
distance would lose digits, the pair's own difference is taken.
"""

import numpy as np

from flwr.serverapp.strategy.columns import Columns
from flwr.serverapp.strategy.sums import Part

_LOST = 2.0**-10  # of the distances to the reference: a pair closer than that is computed by itself
_quiet = np.errstate(all="ignore")  # what is not finite counts as infinitely far


@_quiet
def squared_distances(columns: Columns) -> np.ndarray:
    """Return the squared Euclidean distance between each two models, over all their arrays.

    A model that is not finite everywhere is infinitely far from all others. Models that are equal
    are exactly as far from each of the others.

    Returns
    -------
    np.ndarray
        float64, (models, models), symmetric; on the diagonal 0, or infinity for a model that is
        not finite.

    Raises
    ------
    AggregationError
        If an array holds no numbers.
    """
    count = len(columns)
    total = np.zeros((count, count))
    finite = np.ones(count, bool)
    reference = 0
    for block in columns.blocks(_float64):
        finite &= np.isfinite(block.rows.sum(axis=1))
        wanted = np.isfinite(total)
        distances, unsure = _by_product(block.rows, reference)
        unsure &= wanted
        if unsure.any():
            block.refill()
            _by_difference(block.rows, unsure, distances)
        total += np.where(wanted, distances, np.inf)
        total[np.isnan(total)] = np.inf
        if unsure.any():
            reference = _most_central(total)
    total = np.triu(total, 1)
    total += total.T
    total[~finite] = total[:, ~finite] = np.inf
    for first, second in np.argwhere(np.triu(total == 0, 1)):
        total[second] = total[first]
        total[:, second] = total[:, first]
    return total


def krum_scores(distances: np.ndarray, malicious: int) -> np.ndarray:
    """Return Krum's score of each model: low if the models around it are close [1]_.

    It is the sum of the ``n - f - 2`` smallest squared distances to other models, at least one.

    Parameters
    ----------
    distances : np.ndarray
        From `squared_distances`.
    malicious : int
        f, the number of models that may be malicious.

    Returns
    -------
    np.ndarray
        float64, (models,).

    References
    ----------
    .. [1] Blanchard et al., Machine Learning with Adversaries: Byzantine Tolerant Gradient
       Descent, https://arxiv.org/abs/1703.02757, section 4
    """
    count = len(distances)
    others = distances[~np.eye(count, dtype=bool)].reshape(count, max(count - 1, 0))
    return np.asarray(np.sort(others, axis=1)[:, : max(1, count - malicious - 2)].sum(axis=1))


def krum_order(distances: np.ndarray, malicious: int) -> list[int]:
    """Return the positions of all models by Krum's score, the best first.

    Of models with the same score the first comes first; those that are not finite come last.
    """
    scores = krum_scores(distances, malicious)
    order: list[int] = np.lexsort((scores, np.isinf(distances.diagonal()))).tolist()
    return order


def repeated_krum(distances: np.ndarray, malicious: int, select: int) -> list[int]:
    """Return the positions of the models that Krum picks one by one, each from those left [1]_.

    References
    ----------
    .. [1] El Mhamdi et al., The Hidden Vulnerability of Distributed Learning in Byzantium,
       https://arxiv.org/abs/1802.07927, section 4
    """
    left = list(range(len(distances)))
    chosen = []
    for _ in range(min(select, len(left))):
        best = krum_order(distances[np.ix_(left, left)], malicious)[0]
        chosen.append(left.pop(best))
    return chosen


def _float64(_: Part) -> np.dtype:
    return np.dtype(np.float64)


def _by_product(rows: np.ndarray, reference: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the squared distances in a block, which is used up, and which are not sure."""
    rows -= rows[reference].copy()
    products = rows @ rows.T
    squares = products.diagonal()
    around = squares[:, np.newaxis] + squares
    distances = around - 2 * products
    np.fill_diagonal(distances, 0)
    unsure = ~(distances >= _LOST * around)  # also where one of them is NaN
    np.fill_diagonal(unsure, val=False)
    return distances, unsure


def _by_difference(rows: np.ndarray, pairs: np.ndarray, distances: np.ndarray) -> None:
    """Set the squared distances in a block of some pairs."""
    for first in range(len(rows)):
        others = np.flatnonzero(pairs[first, first + 1 :]) + first + 1
        if others.size:
            differences = rows[others] - rows[first]
            exact = np.vecdot(differences, differences)
            distances[first, others] = distances[others, first] = exact


def _most_central(distances: np.ndarray) -> int:
    """Return the model to which half of the others are closest."""
    half = len(distances) // 2
    return int(np.partition(distances, half, axis=1)[:, half].argmin())
