"""Wildflower: a from-scratch, drop-in implementation of the Flower federated learning framework.

Submodules load on first use: ``import flwr`` alone loads nothing heavy.
"""

import importlib
from types import ModuleType

from flwr import _elsewhere as _elsewhere
from flwr._version import __version__ as __version__

__all__ = ["app", "client", "clientapp", "common", "server", "serverapp", "simulation"]


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return importlib.import_module(f"flwr.{name}")
    raise AttributeError(f"module 'flwr' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
