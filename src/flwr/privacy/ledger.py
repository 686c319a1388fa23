"""What all accountants share: the list of releases, its limits and its state."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, ClassVar, NamedTuple

from flwr.privacy.accounting import (
    GaussianPrivacyEvent,
    PrivacyConfig,
    PrivacySpent,
    check_count,
    check_delta,
    check_positive,
)

SCHEMA_VERSION = 1


class Composition(NamedTuple):
    """A release, and how often it happened."""

    event: GaussianPrivacyEvent
    times: int


class Ledger(ABC):
    """Keeps the releases of an accountant; subclasses say what they cost.

    Parameters
    ----------
    config : PrivacyConfig
        What is accounted for.
    """

    backend: ClassVar[str]

    def __init__(self, config: PrivacyConfig) -> None:
        self._config = config
        self._compositions: tuple[Composition, ...] = ()

    @property
    def config(self) -> PrivacyConfig:
        """What is accounted for."""
        return self._config

    @property
    def num_releases(self) -> int:
        """How many releases were composed."""
        return sum(times for _, times in self._compositions)

    def compose(self, event: GaussianPrivacyEvent, count: int = 1) -> None:
        """Count a release, ``count`` times.

        Raises
        ------
        ValueError
            If the population is not the config's, or the count is below 1.
        """
        self._compositions = self._with(event, count)

    def get_epsilon(self, delta: float) -> float:
        """Return the epsilon of all releases at a delta between 0 and 1; 0 before the first."""
        return self.get_privacy_spent(delta).epsilon

    def get_delta(self, epsilon: float) -> float:
        """Return the delta of all releases at an epsilon of 0 or more; 0 before the first."""
        if not 0 <= epsilon < math.inf:
            raise ValueError(f"epsilon must be a finite number of 0 or more, not {epsilon!r}.")
        return self._delta(self._compositions, epsilon)

    def get_privacy_spent(self, delta: float | None = None) -> PrivacySpent:
        """Return what has been spent, by default at the config's ``target_delta``."""
        if delta is None:
            delta = self._config.target_delta
        check_delta("delta", delta)
        epsilon, order = self._epsilon(self._compositions, delta)
        return PrivacySpent(epsilon, delta, self.num_releases, self.backend, order)

    def would_exceed(
        self, event: GaussianPrivacyEvent, max_epsilon: float | None = None, count: int = 1
    ) -> bool:
        """Whether ``count`` more such releases would cost more than a limit.

        Parameters
        ----------
        event : GaussianPrivacyEvent
            The release.
        max_epsilon : float, optional
            The limit, at the config's ``target_delta``; by default the config's. To reach it
            exactly is allowed.
        count : int, default 1
            How often.

        Raises
        ------
        ValueError
            If no limit is known, the population is not the config's or the count is below 1.
        """
        limit = self._config.max_epsilon if max_epsilon is None else max_epsilon
        if limit is None:
            raise ValueError("No limit is known: give max_epsilon here or in the PrivacyConfig.")
        check_positive("max_epsilon", limit)
        epsilon, _ = self._epsilon(self._with(event, count), self._config.target_delta)
        return epsilon > limit

    def state_dict(self) -> dict[str, Any]:
        """Return the config and the releases as plain data that JSON can hold."""
        return {
            "schema_version": SCHEMA_VERSION,
            "backend": self.backend,
            "config": self._plain_config(),
            "compositions": [
                {"event": asdict(event), "count": times} for event, times in self._compositions
            ],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state that `state_dict` gave; nothing changes if it does not fit.

        Raises
        ------
        ValueError
            If it is no such state, or that of another kind of accountant or another config.
        """
        expected = self.state_dict()
        for key in expected.keys() - {"compositions"}:
            if state.get(key) != expected[key]:
                raise ValueError(
                    f"The accountant's state has {key} {state.get(key)!r}; "
                    f"this accountant's is {expected[key]!r}."
                )
        before, self._compositions = self._compositions, ()
        try:
            for item in state["compositions"]:
                self.compose(GaussianPrivacyEvent(**item["event"]), item["count"])
        except (KeyError, TypeError, ValueError) as error:
            self._compositions = before
            raise ValueError(f"The accountant's state has bad compositions: {error}") from error

    @abstractmethod
    def _delta(self, compositions: Sequence[Composition], epsilon: float) -> float:
        """Return the delta of some releases at an epsilon."""

    @abstractmethod
    def _epsilon(
        self, compositions: Sequence[Composition], delta: float
    ) -> tuple[float, float | None]:
        """Return the epsilon of some releases, and the Renyi order that gave it."""

    def _with(self, event: GaussianPrivacyEvent, count: int) -> tuple[Composition, ...]:
        """Return the releases with one more kind at the end."""
        check_count("count", count)
        if event.population_size != self._config.population_size:
            raise ValueError(
                f"The event's population_size is {event.population_size}, the accountant's is "
                f"{self._config.population_size}."
            )
        *before, last = self._compositions or [None]
        if last is not None and last.event == event:
            return (*before, Composition(event, last.times + count))
        return (*self._compositions, Composition(event, count))

    def _plain_config(self) -> dict[str, Any]:
        config = asdict(self._config)
        return {
            **config,
            "neighboring_relation": str(self._config.neighboring_relation),
            "sampling_method": str(self._config.sampling_method),
        }
