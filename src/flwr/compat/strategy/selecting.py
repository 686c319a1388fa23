"""Which clients' models count for Krum and Bulyan."""

from collections.abc import Iterable
from logging import WARNING

import numpy as np

from flwr.log import log
from flwr.serverapp.strategy.columns import Gathered
from flwr.serverapp.strategy.distances import krum_order, repeated_krum, squared_distances
from flwr.serverapp.strategy.replies import Update


def best_by_krum(updates: Iterable[Update], malicious: int, keep: int) -> list[Update]:
    """Return the updates of the lowest scores of Krum, the best first.

    Parameters
    ----------
    updates : iterable of Update
        All of a round.
    malicious : int
        How many of them may be malicious.
    keep : int
        How many to return, at most all that there are; 0 is one.
    """
    given = list(updates)
    needed = 2 * malicious + 3
    if len(given) < needed:
        log(
            WARNING,
            "Krum gives no guarantee in this round: it needs at least %d results "
            "(2*num_malicious_clients + 3), but received %d.",
            needed,
            len(given),
        )
    best = krum_order(_distances(given), malicious)[: max(keep, 1)]
    return _counting([given[place] for place in best])


def for_bulyan(updates: Iterable[Update], malicious: int) -> list[Update]:
    """Return the updates that Krum picks one after the other, each from those that are left.

    Raises
    ------
    ValueError
        If there are fewer than ``4 * malicious + 3``.
    """
    given = list(updates)
    needed = 4 * malicious + 3
    if len(given) < needed:
        raise ValueError(
            f"Bulyan needs the results of at least {needed} clients "
            f"(4*num_malicious_clients + 3), but received {len(given)}."
        )
    picked = repeated_krum(_distances(given), malicious, len(given) - 2 * malicious)
    return [given[place] for place in picked]


def _distances(updates: list[Update]) -> np.ndarray:
    gathered = Gathered()
    for update in updates:
        gathered.add(update)
    return squared_distances(gathered.columns())


def _counting(updates: list[Update]) -> list[Update]:
    """Let a single update be the result, whatever it weighs."""
    return [updates[0]._replace(weight=1.0)] if len(updates) == 1 else updates
