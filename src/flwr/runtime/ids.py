"""Message ids that a ServerApp makes again after a restart."""

import uuid

_NAMESPACE = uuid.UUID("6f2d3c54-2f0e-4f0a-9f43-0d8a5a7c9b11")  # any, but always the same


def message_id(run_id: int, scope: int, step: int, dst: int, message_type: str, n: int) -> str:
    """Return the id of a message.

    Parameters
    ----------
    run_id : int
        The run.
    scope : int
        0 for ``main``, k for the k-th scope that it opens (strategies open one).
    step : int
        How many checkpoints that scope had before.
    dst : int
        The node.
    message_type : str
        The type.
    n : int
        How many messages of that type went to that node since the last checkpoint.
    """
    return str(uuid.uuid5(_NAMESPACE, f"{run_id}/{scope}/{step}/{dst}/{message_type}/{n}"))
