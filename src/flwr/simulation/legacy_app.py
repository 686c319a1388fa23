"""The way in to ``start_simulation``, which lies in the room of the legacy API."""

import importlib
from typing import Any


def start_simulation(*args: Any, **kwargs: Any) -> Any:
    """Simulate a legacy federation. Deprecated: use ``flwr run``.

    Parameters
    ----------
    *args, **kwargs
        Those of ``flwr.compat.simulation.start_simulation``; all are given by name.

    Returns
    -------
    flwr.server.History
        What was measured.
    """
    return importlib.import_module("flwr.compat.simulation").start_simulation(*args, **kwargs)
