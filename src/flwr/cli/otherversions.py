"""Options of other versions: those that change nothing here, and those that are refused.

An option that promises security is never taken and ignored: better no process than one that only
seems protected.
"""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from logging import WARNING

from flwr.errors import SettingsError
from flwr.log import log


@dataclass(frozen=True)
class Inert:
    """An option that is taken, and changes nothing.

    Attributes
    ----------
    flag, why : str
        The option, and why nothing is lost by it.
    value : bool
        Whether it takes one.
    """

    flag: str
    why: str
    value: bool = True


@dataclass(frozen=True)
class Refused:
    """An option that promises something which is not there.

    Attributes
    ----------
    flag, lack : str
        The option, and what is missing.
    number : int
        The documented one that the process ends with.
    hint : str
        What to do instead.
    value : bool
        Whether it takes one.
    """

    flag: str
    lack: str
    number: int
    hint: str = "Leave the option out only if you can do without what it protects."
    value: bool = True


class RefusedOptionError(SettingsError):
    """An option asks for something that this version does not have."""

    def __init__(self, option: Refused) -> None:
        super().__init__(
            f"{option.flag} asks for something that this version does not have: {option.lack}.",
            hint=option.hint,
        )
        self.number = option.number


NO_INSTALLATION = Inert(
    "--allow-runtime-dependency-installation",
    "nothing is ever installed for apps: install what they need beside this",
    value=False,
)


def add_options(
    parser: argparse.ArgumentParser, inert: Iterable[Inert], refused: Iterable[Refused]
) -> None:
    """Add the options to a command, in groups of their own."""
    group = parser.add_argument_group("accepted without effect")
    for option in inert:
        _add(group, option, f"no effect: {option.why}")
    group = parser.add_argument_group("refused in this version")
    for promise in refused:
        _add(group, promise, f"refused: {promise.lack}")


def judge_options(
    given: argparse.Namespace, inert: Iterable[Inert], refused: Iterable[Refused]
) -> None:
    """Say which of the given options change nothing.

    Raises
    ------
    RefusedOptionError
        If one was given that is refused.
    """
    for promise in refused:
        if _is_given(given, promise):
            raise RefusedOptionError(promise)
    for option in inert:
        if _is_given(given, option):
            log(WARNING, "%s has no effect: %s.", option.flag, option.why)


def _add(group: argparse._ArgumentGroup, option: Inert | Refused, text: str) -> None:
    if option.value:
        group.add_argument(option.flag, metavar="VALUE", help=text)
    else:
        group.add_argument(option.flag, action="store_true", help=text)


def _is_given(given: argparse.Namespace, option: Inert | Refused) -> bool:
    return getattr(given, option.flag[2:].replace("-", "_")) not in (None, False)
