"""Saving what a ``main`` of one's own has reached."""

from flwr.serverapp.grid import Grid, SavesCheckpoints


def checkpoint(grid: Grid) -> None:
    """Save ``context.state``, so that a ServerApp that dies goes on from here.

    In a deployment a ServerApp whose process dies is started again: ``main`` runs from its top,
    with ``context.state`` and the generators of ``random``, ``numpy.random`` and PyTorch as they
    were when they were saved last. Replies that were used before are then gone. Messages that
    ``main`` sent after its last checkpoint must be sent again as they were: the replies that
    there are already then come at once, and no node works twice.

    Strategies save their rounds by themselves; a ``main`` that only calls ``strategy.start`` need
    not do it. With other grids, as in a simulation, nothing happens.

    Parameters
    ----------
    grid : Grid
        What ``main`` was given.

    Examples
    --------
    >>> from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
    >>> from flwr.serverapp import Grid, ServerApp, checkpoint
    >>> app = ServerApp()
    >>> @app.main()
    ... def main(grid: Grid, context: Context) -> None:
    ...     state = context.state
    ...     if "progress" not in state:  # else it goes on where it was
    ...         state["model"] = ArrayRecord([np.zeros(3)])
    ...         state["progress"] = ConfigRecord({"rounds": 0})
    ...     for number in range(state["progress"]["rounds"], 10):
    ...         content = RecordDict({"arrays": state["model"]})
    ...         asked = [Message(content, node, "train") for node in sorted(grid.get_node_ids())]
    ...         replies = grid.send_and_receive(asked)
    ...         state["model"] = mean_of(replies)
    ...         state["progress"]["rounds"] = number + 1
    ...         checkpoint(grid)
    """
    if isinstance(grid, SavesCheckpoints):
        grid.checkpoint({})
