"""The legacy path of dates as text."""

from flwr.clock import now
from flwr.compat.dates import format_timedelta, isoformat8601_utc

__all__ = ["format_timedelta", "isoformat8601_utc", "now"]
