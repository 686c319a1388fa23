"""Reasons for which a strategy ends its app, each with a documented exit code."""

from flwr.errors import AppExitError


class InconsistentMessageReplies(AppExitError):  # noqa: N818 - a documented name
    """Replies of one round do not fit together: names, shapes, dtypes or weights differ.

    Parameters
    ----------
    reason : str
        Which node, record and entry, and what was expected.
    """

    exit_code = 200

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


class AggregationError(AppExitError):
    """Replies that fit together cannot be aggregated by the chosen rule.

    Parameters
    ----------
    reason : str
        What cannot be aggregated, and why.
    """

    exit_code = 202

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
