"""Checking the settings of mods and wrappers, which may come from a configuration as text."""

import math
from collections.abc import Callable
from numbers import Real
from typing import Any


def positive(value: float) -> bool:
    """Whether a number is finite and above 0."""
    return 0 < value < math.inf


def not_negative(value: float) -> bool:
    """Whether a number is finite and 0 or more."""
    return 0 <= value < math.inf


def share(value: float) -> bool:
    """Whether a number lies between 0 and 1, or is one of them."""
    return 0 <= value <= 1


def check_setting(name: str, value: object, fits: Callable[[Any], bool], rule: str) -> None:
    """Accept a number that fits.

    Parameters
    ----------
    name : str
        The argument.
    value : object
        What was given for it.
    fits : callable
        Whether a number is accepted.
    rule : str
        What is expected, a sentence.

    Raises
    ------
    ValueError
        If it is no number, or does not fit.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ValueError(f"{rule} Given: {name}={value!r}, of type {type(value).__name__}.")
    if not fits(value):
        raise ValueError(f"{rule} Given: {name}={value!r}.")
