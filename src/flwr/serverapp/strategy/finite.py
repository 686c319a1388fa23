"""What becomes of a reply whose arrays hold NaN or infinities, where a strategy is told so."""

from typing import Any

import numpy as np

from flwr.app import ArrayRecord, memory

PROPAGATE, DROP, RAISE = POLICIES = ("propagate", "drop_client", "raise")
_BLOCK = 1 << 20  # values
_NEVER = "biuOSUMm"  # kinds of dtypes that are finite, or no numbers


class NanPolicy:
    """A strategy's setting, checked when it is set: one of `POLICIES`, at first the first."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._key = name

    def __get__(self, strategy: Any, owner: type) -> str:
        return PROPAGATE if strategy is None else strategy.__dict__.get(self._key, PROPAGATE)

    def __set__(self, strategy: Any, value: str) -> None:
        if value not in POLICIES:
            known = ", ".join(map(repr, POLICIES))
            raise ValueError(f"{self._key} must be one of {known}, not {value!r}.")
        strategy.__dict__[self._key] = value


def not_finite(record: ArrayRecord) -> str | None:
    """Return the name of the first array with a value that is not finite; None without one."""
    for name, array in zip(record, memory.views(record), strict=True):
        if array.dtype.kind in _NEVER:
            continue
        values = array.ravel(order="K")
        for start in range(0, values.size, _BLOCK):
            if not np.isfinite(values[start : start + _BLOCK]).all():
                return name
    return None
