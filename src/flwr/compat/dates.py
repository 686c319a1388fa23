"""Times as text, as legacy code imports them."""

import datetime


def format_timedelta(td: datetime.timedelta) -> str:
    """Return a duration as ``[<days>d ]HH:MM:SS``."""
    minutes, seconds = divmod(td.seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days = f"{td.days}d " if td.days else ""
    return f"{days}{hours:02}:{minutes:02}:{seconds:02}"


def isoformat8601_utc(dt: datetime.datetime) -> str:
    """Return a time as ``YYYY-MM-DDTHH:MM:SSZ``.

    Raises
    ------
    ValueError
        If it is not in UTC.
    """
    if dt.tzinfo is None or dt.utcoffset() != datetime.timedelta():
        raise ValueError(f"Expected datetime with timezone set to UTC, not {dt!r}.")
    return dt.strftime("%Y-%m-%dT%H:%M:%SZ")
