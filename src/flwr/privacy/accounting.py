"""What accountants are told and what they say: the records, and the protocol."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable


class NeighboringRelation(StrEnum):
    """Which two populations must look alike: they differ in one client that ..."""

    ADD_OR_REMOVE_ONE = "add-or-remove-one"
    """... is in one of them only."""
    REPLACE_ONE = "replace-one"
    """... has other data in each."""


class SamplingMethod(StrEnum):
    """How a round's clients are drawn from the population.

    Strategies draw from the nodes that are connected: their wrappers take ``NO_AMPLIFICATION``.
    """

    POISSON = "poisson"
    """Each client by its own coin."""
    WITHOUT_REPLACEMENT = "without-replacement"
    """A fixed number of them, each set of that size as likely as any other."""
    NO_AMPLIFICATION = "no-amplification"
    """Anyhow: nothing is gained from who is left out. Right if the same clients come each time."""


_PAIRS = {
    SamplingMethod.POISSON: NeighboringRelation.ADD_OR_REMOVE_ONE,
    SamplingMethod.WITHOUT_REPLACEMENT: NeighboringRelation.REPLACE_ONE,
    SamplingMethod.NO_AMPLIFICATION: NeighboringRelation.ADD_OR_REMOVE_ONE,
}


@dataclass(frozen=True)
class PrivacyConfig:
    """What is accounted for.

    Parameters
    ----------
    target_delta : float
        The delta at which epsilon is told and limited, between 0 and 1.
    population_size : int
        How many clients there are to draw from.
    neighboring_relation : NeighboringRelation
        Goes with the sampling: ``REPLACE_ONE`` with ``WITHOUT_REPLACEMENT``, else
        ``ADD_OR_REMOVE_ONE``.
    sampling_method : SamplingMethod
        How each round's clients are drawn.
    max_epsilon : float, optional
        The most that may be spent.

    Raises
    ------
    ValueError
        If a value is out of range, or the relation does not go with the sampling.
    """

    target_delta: float
    population_size: int
    neighboring_relation: NeighboringRelation
    sampling_method: SamplingMethod
    max_epsilon: float | None = None

    def __post_init__(self) -> None:
        check_delta("target_delta", self.target_delta)
        check_count("population_size", self.population_size)
        if self.max_epsilon is not None:
            check_positive("max_epsilon", self.max_epsilon)
        relation = NeighboringRelation(self.neighboring_relation)
        sampling = SamplingMethod(self.sampling_method)
        if relation is not _PAIRS[sampling]:
            raise ValueError(
                f"neighboring_relation '{relation}' does not go with sampling_method '{sampling}': "
                f"use '{_PAIRS[sampling]}'."
            )
        # plain text is accepted and becomes the member it names
        object.__setattr__(self, "neighboring_relation", relation)
        object.__setattr__(self, "sampling_method", sampling)


@dataclass(frozen=True)
class GaussianPrivacyEvent:
    """One release of a sum to which Gaussian noise was added.

    Parameters
    ----------
    noise_multiplier : float
        The noise's standard deviation divided by the most that one client can change the sum.
    sample_size : int
        How many clients take part in a release.
    population_size : int
        How many they were drawn from.

    Raises
    ------
    ValueError
        If a value is not positive, or the sample larger than the population.
    """

    noise_multiplier: float
    sample_size: int
    population_size: int

    def __post_init__(self) -> None:
        check_positive("noise_multiplier", self.noise_multiplier)
        check_count("sample_size", self.sample_size)
        check_count("population_size", self.population_size)
        if self.sample_size > self.population_size:
            raise ValueError(
                f"sample_size ({self.sample_size}) is larger than population_size "
                f"({self.population_size})."
            )


@dataclass(frozen=True)
class PrivacySpent:
    """What has been spent.

    Attributes
    ----------
    epsilon, delta : float
        The guarantee for all releases together.
    num_releases : int
        How many there were.
    accounting_method : str
        ``"rdp"`` or ``"gaussian"``.
    optimal_order : float, optional
        The Renyi order that gave the epsilon.
    """

    epsilon: float
    delta: float
    num_releases: int
    accounting_method: str
    optimal_order: float | None = None


@runtime_checkable
class PrivacyAccountant(Protocol):
    """Adds up what releases cost."""

    @property
    def config(self) -> PrivacyConfig:
        """What is accounted for."""
        ...

    @property
    def num_releases(self) -> int:
        """How many releases were composed."""
        ...

    def compose(self, event: GaussianPrivacyEvent, count: int = 1) -> None:
        """Count a release, ``count`` times."""
        ...

    def get_epsilon(self, delta: float) -> float:
        """Return the epsilon of all releases at a delta."""
        ...

    def get_delta(self, epsilon: float) -> float:
        """Return the delta of all releases at an epsilon."""
        ...

    def get_privacy_spent(self, delta: float | None = None) -> PrivacySpent:
        """Return what has been spent, by default at the config's delta."""
        ...

    def would_exceed(
        self, event: GaussianPrivacyEvent, max_epsilon: float | None = None, count: int = 1
    ) -> bool:
        """Whether ``count`` more such releases would cost more than a limit."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return the state as plain data that JSON can hold."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state that `state_dict` gave."""
        ...


def check_delta(name: str, value: float) -> None:
    """Accept a number between 0 and 1.

    Raises
    ------
    ValueError
        If it is none.
    """
    if not (_is_number(value) and 0 < value < 1):
        raise ValueError(f"{name} must be a number between 0 and 1, not {value!r}.")


def check_positive(name: str, value: float) -> None:
    """Accept a finite number above 0.

    Raises
    ------
    ValueError
        If it is none.
    """
    if not (_is_number(value) and 0 < value < math.inf):
        raise ValueError(f"{name} must be a finite number above 0, not {value!r}.")


def check_count(name: str, value: int) -> None:
    """Accept an int above 0.

    Raises
    ------
    ValueError
        If it is none.
    """
    if type(value) is not int or value <= 0:
        raise ValueError(f"{name} must be an int above 0, not {value!r}.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
