"""What to do about the app process of a run. Pure: a table and a function, no I/O.

A run has one app process at a time, its *attempt*. One that ends without having finished the run
is followed by the next, which goes on from the run's checkpoint.
"""

import signal
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

# In a row, without a new checkpoint or reply between them. A process does not send SIGKILL to
# itself: whoever does so may do it often, but short memory must not go on killing for ever.
MOST_DEATHS = 5
MOST_KILLS = 10
LAST_WORDS_SECONDS = 10.0  # that a process has to end when it has ended its run
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


def after_death(deaths: int, status: int | None) -> Step:
    """Return what follows the death of a process.

    Parameters
    ----------
    deaths : int
        How many there have been since the run got further.
    status : int or None
        As for `describe_end`.
    """
    from_outside = status is None or status == -signal.SIGKILL
    most = MOST_KILLS if from_outside else MOST_DEATHS
    return Step.GIVE_UP if deaths >= most else Step.LAUNCH


def describe_end(status: int | None) -> str:
    """Return how a process ended, for people.

    Parameters
    ----------
    status : int or None
        Its exit status, the negative number of a signal, or None if nobody could see it.
    """
    if status is None:
        return "ended, and nobody saw how"
    if status < 0:
        return f"was killed by signal {-status}"
    return f"ended with status {status} before the run was finished"
