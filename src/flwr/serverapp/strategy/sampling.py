"""Who is asked: waiting for nodes and drawing a cohort."""

import random
import threading
from logging import INFO
from typing import Any, cast

from flwr.log import log
from flwr.serverapp.grid import Grid, IndexedNodes

POLL_SECONDS = 1.0  # between two looks at a grid that cannot wait for nodes by itself


def sample_nodes(
    grid: Grid, fraction: float, min_nodes: int, min_available_nodes: int
) -> tuple[list[int], int]:
    """Draw a cohort with the global random generator, waiting for enough nodes first.

    Parameters
    ----------
    grid : Grid
        The way to the nodes.
    fraction : float
        The share of the connected nodes to draw; the product is rounded down.
    min_nodes : int
        The smallest cohort, whatever the fraction.
    min_available_nodes : int
        Nodes that must be connected before any are drawn.

    Returns
    -------
    tuple[list[int], int]
        The cohort by ascending id, and how many nodes it was drawn from.

    Raises
    ------
    NotEnoughNodesError
        If the grid knows that there will never be enough nodes.
    """
    nodes = wait_for_nodes(grid, max(min_available_nodes, min_nodes))
    size = int(max(len(nodes) * fraction, min_nodes))
    if size > len(nodes):  # a fraction above 1
        nodes = wait_for_nodes(grid, size)
    at = nodes.__getitem__ if isinstance(nodes, list) else nodes.at
    drawn = random.sample(range(len(nodes)), size)
    return sorted(map(at, drawn)), len(nodes)  # replies are summed in this order


def wait_for_nodes(grid: Grid, count: int) -> IndexedNodes | list[int]:
    """Return the connected nodes as soon as there are ``count`` of them.

    Returns
    -------
    IndexedNodes or list[int]
        What the grid gave if it has ``at(index)``, else the ids in ascending order.

    Raises
    ------
    NotEnoughNodesError
        If the grid knows that there will never be so many.
    """
    wait_nodes = getattr(grid, "wait_nodes", None)
    while len(nodes := _connected(grid)) < count:
        if wait_nodes is not None:
            wait_nodes(count)
            continue
        log(
            INFO,
            "Waiting for nodes to connect: %d connected (minimum required: %d).",
            len(nodes),
            count,
        )
        threading.Event().wait(POLL_SECONDS)
    return nodes


def _connected(grid: Grid) -> IndexedNodes | list[int]:
    nodes: Any = grid.get_node_ids()
    return cast("IndexedNodes", nodes) if hasattr(nodes, "at") else sorted(nodes)
