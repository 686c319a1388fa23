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


class PrivacyBudgetExhausted(AppExitError):  # noqa: N818 - a documented name
    """The next release would spend more than an accountant allows; it was not asked for.

    What the rounds had reached is its ``result`` once it leaves ``Strategy.start``.

    Parameters
    ----------
    reason : str
        How much is spent, and how much may be.
    """

    exit_code = 200

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
