"""The server's half of an app: ``ServerApp``, ``Grid``, the strategies and privacy accountants."""

import importlib
from typing import TYPE_CHECKING

from flwr.serverapp import strategy as strategy
from flwr.serverapp.artifacts import artifacts_dir as artifacts_dir
from flwr.serverapp.checkpoint import checkpoint as checkpoint
from flwr.serverapp.grid import Grid as Grid
from flwr.serverapp.serverapp import ServerApp as ServerApp

if TYPE_CHECKING:
    from flwr.privacy.accounting import GaussianPrivacyEvent as GaussianPrivacyEvent
    from flwr.privacy.accounting import NeighboringRelation as NeighboringRelation
    from flwr.privacy.accounting import PrivacyAccountant as PrivacyAccountant
    from flwr.privacy.accounting import PrivacyConfig as PrivacyConfig
    from flwr.privacy.accounting import PrivacySpent as PrivacySpent
    from flwr.privacy.accounting import SamplingMethod as SamplingMethod
    from flwr.privacy.gaussian import GaussianAccountant as GaussianAccountant
    from flwr.privacy.rdp import RdpAccountant as RdpAccountant

__all__ = [
    "GaussianAccountant",
    "GaussianPrivacyEvent",
    "Grid",
    "NeighboringRelation",
    "PrivacyAccountant",
    "PrivacyConfig",
    "PrivacySpent",
    "RdpAccountant",
    "SamplingMethod",
    "ServerApp",
    "artifacts_dir",
    "checkpoint",
    "strategy",
]

_PRIVACY = {  # loaded on first use: most apps do without
    "GaussianAccountant": "flwr.privacy.gaussian",
    "GaussianPrivacyEvent": "flwr.privacy.accounting",
    "NeighboringRelation": "flwr.privacy.accounting",
    "PrivacyAccountant": "flwr.privacy.accounting",
    "PrivacyConfig": "flwr.privacy.accounting",
    "PrivacySpent": "flwr.privacy.accounting",
    "RdpAccountant": "flwr.privacy.rdp",
    "SamplingMethod": "flwr.privacy.accounting",
}


def __getattr__(name: str) -> type:
    if name not in _PRIVACY:
        raise AttributeError(f"module 'flwr.serverapp' has no attribute {name!r}")
    loaded: type = getattr(importlib.import_module(_PRIVACY[name]), name)
    return loaded


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
