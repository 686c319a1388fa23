"""Where the apps leave what came out: in a dict, and in a file if one is named."""

import json
import os
from pathlib import Path

import numpy as np

kept = {}

SERIES = [
    "losses_distributed",
    "losses_centralized",
    "metrics_distributed_fit",
    "metrics_distributed",
    "metrics_centralized",
]


def keep(**values):
    kept.update({name: plain(value) for name, value in values.items()})
    path = os.environ.get("KEPT_IN")
    if path:
        Path(path).write_text(json.dumps(kept))


def plain(value):
    """Return a value as JSON can hold it."""
    if isinstance(value, np.ndarray):
        return sample(value)
    if hasattr(value, "losses_distributed"):
        value = {name: getattr(value, name) for name in SERIES}
    if hasattr(value, "items"):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return value.hex() if isinstance(value, bytes) else value


def sample(array):
    """Return a small array's values; those of a large one in part, with their norm."""
    flat = array.reshape(-1)
    shown = {"dtype": str(array.dtype), "shape": list(array.shape)}
    if flat.size <= 64:
        return {**shown, "values": flat.tolist()}
    norm = float(np.linalg.norm(flat.astype(np.float64)))
    return {**shown, "values": flat[:: flat.size // 32].tolist(), "norm": norm}
