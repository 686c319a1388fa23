"""The names that clipping uses in messages."""

from flwr.compat.differential_privacy import (
    CLIENTS_DISCREPANCY_WARNING,
    KEY_CLIPPING_NORM,
    KEY_NORM_BIT,
)

__all__ = ["CLIENTS_DISCREPANCY_WARNING", "KEY_CLIPPING_NORM", "KEY_NORM_BIT"]
