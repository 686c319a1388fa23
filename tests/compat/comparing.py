"""Comparing outcomes: the same names, values and dtypes, numbers within a tolerance."""

import itertools
import json
import math
import re
from pathlib import Path
from typing import Any

DATA = Path(__file__).parent / "data"
NUMBER = re.compile(r"-?\d+\.\d+(?:e[+-]?\d+)?")


def made_by_upstream(name: str) -> dict[str, Any]:
    """Return what an app of the matrix makes with upstream Flower."""
    outcome: dict[str, Any] = json.loads((DATA / f"{name}.json").read_text())
    del outcome["made_with"]
    return outcome


def differences(ours: Any, theirs: Any, within: float, place: str = "") -> list[str]:
    """Say where an outcome is not the other one."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        found = (
            [f"{place}: {sorted(ours)} {sorted(theirs)}"] if ours.keys() != theirs.keys() else []
        )
        for name in theirs.keys() & ours.keys():
            found += differences(ours[name], theirs[name], within, f"{place}/{name}")
        return found
    if isinstance(theirs, list) and isinstance(ours, list) and len(ours) == len(theirs):
        pairs = zip(ours, theirs, strict=True)
        each = [differences(a, b, within, f"{place}/{at}") for at, (a, b) in enumerate(pairs)]
        return list(itertools.chain.from_iterable(each))
    if isinstance(theirs, str) and isinstance(ours, str):
        same = NUMBER.split(ours) == NUMBER.split(theirs)
        numbers = zip(NUMBER.findall(ours), NUMBER.findall(theirs), strict=False)
        same = same and all(_close(float(a), float(b), max(within, 1e-4)) for a, b in numbers)
    elif isinstance(theirs, float):
        same = isinstance(ours, float) and _close(ours, theirs, within)
    else:
        same = type(ours) is type(theirs) and ours == theirs
    return [] if same else [f"{place}: {ours!r} instead of {theirs!r}"]


def _close(ours: float, theirs: float, within: float) -> bool:
    return math.isclose(ours, theirs, rel_tol=within, abs_tol=within * 1e-2)


def put(outcome: dict[str, Any], place: str, value: Any) -> None:
    *way, last = place.split("/")
    for name in way:
        outcome = outcome[int(name)] if isinstance(outcome, list) else outcome[name]
    outcome[int(last) if isinstance(outcome, list) else last] = value
