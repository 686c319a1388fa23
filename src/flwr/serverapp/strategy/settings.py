"""Checking the settings of strategies, which may come from a configuration as text."""

import math
from numbers import Integral, Real


def check_number(name: str, value: object) -> None:
    """Check that a setting is a number.

    Raises
    ------
    ValueError
        If it is not.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"{name} must be a number, {_given(value)}.")


def check_function(name: str, value: object) -> None:
    """Check that a setting is a function, or ``None`` for the default.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if value is not None and not callable(value):
        raise ValueError(f"{name} must be a function, {_given(value)}.")


def check_range(name: str, value: float, *, below: float = math.inf) -> None:
    """Check a setting: 0 or more, and below a limit.

    Raises
    ------
    ValueError
        If it is not.
    """
    check_number(name, value)
    if not 0 <= value < below:
        limit = "finite" if below == math.inf else f"below {below:g}"
        raise ValueError(f"{name} must be 0 or more and {limit}, not {value}.")


def check_count(name: str, value: object, *, least: int) -> None:
    """Check a setting: a whole number, not below a limit.

    Raises
    ------
    ValueError
        If it is not.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ValueError(f"{name} must be a whole number, {_given(value)}.")
    if int(value) < least:
        limit = f"be at least {least}" if least else "not be negative"
        raise ValueError(f"`{name}` must {limit}, but is {value}.")


def _given(value: object) -> str:
    return f"not {value!r:.60}, of type {type(value).__name__}"
