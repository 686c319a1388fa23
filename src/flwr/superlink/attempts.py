"""What to do about the app process of a run. Pure: a table and a function, no I/O.

A run has one app process at a time, its *attempt*. One that ends without having finished the run
is followed by the next, which goes on from the run's checkpoint.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

MOST_DEATHS = 5  # in a row, without a new checkpoint between them
SILENCE_SECONDS = 60.0  # a process that cannot be watched, and tells nothing for so long, is gone


class Process(StrEnum):
    """What is known of the process of a live run's newest attempt."""

    NONE = "none"  # the run had no attempt yet
    UNRECORDED = "unrecorded"  # started by a hub that died before it gave it the run's token
    HERE = "here"  # on this machine, alive
    GONE = "gone"  # on this machine, ended
    ELSEWHERE = "elsewhere"  # started by a launcher, which knows


class Step(StrEnum):
    """What to do next."""

    LAUNCH = "launch"  # the next attempt
    WATCH = "watch"  # until it ends
    LISTEN = "listen"  # until it, or its launcher, has been silent for too long
    GIVE_UP = "give up"  # the run has failed


AFTER_START: Mapping[Process, Step] = MappingProxyType(
    {
        Process.NONE: Step.LAUNCH,
        Process.UNRECORDED: Step.LAUNCH,
        Process.HERE: Step.WATCH,
        Process.GONE: Step.LAUNCH,
        Process.ELSEWHERE: Step.LISTEN,
    }
)


def after_death(deaths: int) -> Step:
    """Return what follows the death of a process, the `deaths`-th since the last checkpoint."""
    return Step.GIVE_UP if deaths >= MOST_DEATHS else Step.LAUNCH


def describe_end(status: int | None) -> str:
    """Return how a process ended, for people.

    Parameters
    ----------
    status : int or None
        Its exit status, the negative number of a signal, or None if nobody could see it.
    """
    if status is None:
        return "was gone when the SuperLink came back"
    if status < 0:
        return f"was killed by signal {-status}"
    return f"ended with status {status} before the run was finished"
