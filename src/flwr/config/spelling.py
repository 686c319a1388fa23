"""The nearest valid name, for error messages."""

from collections.abc import Iterable


def nearest(name: str, candidates: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """Return the candidate most like `name`, or None if none is alike.

    Parameters
    ----------
    cutoff : float, default 0.6
        How alike it must be, from 0 to 1.
    """
    from difflib import get_close_matches

    matches = get_close_matches(name, list(candidates), n=1, cutoff=cutoff)
    return matches[0] if matches else None


def suggestion(name: str, candidates: Iterable[str]) -> str:
    """Return ``did you mean 'x'?``, or the candidates if none is alike, or an empty text."""
    names = sorted(candidates)
    match = nearest(name, names)
    if match is not None:
        return f"did you mean '{match}'?"
    return f"known are {', '.join(names)}" if names else ""
