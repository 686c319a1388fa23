"""Time, in one place, so that tests can replace it."""

import datetime
import time


def unix_now() -> float:
    """Seconds since the epoch, UTC."""
    return time.time()


def now() -> datetime.datetime:
    """Return the current time as an aware UTC datetime."""
    return datetime.datetime.now(tz=datetime.UTC)


def iso(seconds: float) -> str:
    """Unix seconds as ISO 8601 text in UTC, to the microsecond."""
    return datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC).isoformat()
