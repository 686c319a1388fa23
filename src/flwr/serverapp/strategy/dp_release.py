"""What a private release is, for the wrappers of both APIs: settings, rule, and its log lines."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from logging import INFO, WARNING
from typing import Any, Protocol

import numpy as np

from flwr.log import log
from flwr.privacy.adaptive import clipped_share
from flwr.privacy.noise import GaussianNoise
from flwr.privacy.settings import check_setting, not_negative, positive, share
from flwr.serverapp.exception import AggregationError
from flwr.serverapp.strategy.clipped_mean import ClippedMean, ReleaseRule

KEY_CLIPPING_NORM = "clipping_norm"
KEY_NORM_BIT = "norm_bit"


class Release(Protocol):
    """A wrapper, as far as its releases go."""

    noise_multiplier: float
    clipping_norm: float
    num_sampled_clients: int


def check_release(noise_multiplier: float, clipping_norm: float, num_sampled_clients: int) -> None:
    """Check the settings of a wrapper.

    Raises
    ------
    ValueError
        If one is of a wrong type or out of range.
    """
    rule = "The noise multiplier should be a non-negative value."
    check_setting("noise_multiplier", noise_multiplier, not_negative, rule)
    rule = "The clipping norm should be a positive value."
    check_setting("clipping_norm", clipping_norm, positive, rule)
    rule = "The number of sampled clients should be a positive value."
    check_setting("num_sampled_clients", num_sampled_clients, positive, rule)


def check_adaptation(
    initial_clipping_norm: float,
    target_clipped_quantile: float,
    clip_norm_lr: float,
    clipped_count_stddev: float | None,
) -> None:
    """Check the settings of a bound that adapts.

    Raises
    ------
    ValueError
        If one is of a wrong type or out of range.
    """
    rule = "The initial clipping norm should be a positive value."
    check_setting("initial_clipping_norm", initial_clipping_norm, positive, rule)
    rule = "The target clipped quantile must be in [0, 1]."
    check_setting("target_clipped_quantile", target_clipped_quantile, share, rule)
    rule = "The learning rate must be positive."
    check_setting("clip_norm_lr", clip_norm_lr, positive, rule)
    if clipped_count_stddev is not None:
        rule = "The `clipped_count_stddev` must be non-negative."
        check_setting("clipped_count_stddev", clipped_count_stddev, not_negative, rule)


def release_rule(release: Release, *, clips: bool, exact: bool = False) -> ReleaseRule:
    """Return how the updates of a round become one release."""
    cohort = release.num_sampled_clients
    return ReleaseRule(
        bound=release.clipping_norm,
        clips=clips,
        cohort=cohort,
        stddev=release.noise_multiplier * release.clipping_norm / cohort,
        exact=exact,
    )


def noised_share(clipped: int, replies: int, cohort: int, stddev: float) -> float:
    """Return the share of updates that were clipped, their count noised by ``stddev``."""
    if not stddev:
        return clipped / replies
    noise = np.zeros(1)
    GaussianNoise(stddev).add_to(noise)
    return clipped_share(clipped, replies, cohort, float(noise[0]))


def say_released(mean: ClippedMean, clipped_line: str) -> None:
    """Log how a release was made; the line has a place for the bound, if updates were clipped."""
    if mean.rule.clips:
        log(INFO, clipped_line, mean.rule.bound)
    log(INFO, "aggregate_fit: central DP noise with %.4f stdev added", mean.rule.stddev)


def warn_of_count(mean: ClippedMean) -> None:
    """Warn if there were not as many replies as there should be, and say what comes of it."""
    rule, replies = mean.rule, len(mean.nodes)
    if replies == rule.cohort:
        return
    if rule.exact:
        result = "The accountant needs all: nothing is released in this round, nothing spent."
    elif rule.stddev > 0:
        result = "The noise is that of the latter."
    else:
        result = "The mean is that of the former."
    log(
        WARNING,
        "The number of clients returning parameters (%d) differs from the number of sampled "
        "clients (%d). %s",
        replies,
        rule.cohort,
        result,
    )


@contextmanager
def reducing_by(
    strategy: object, mean: ClippedMean, aggregate: Callable[..., object]
) -> Iterator[list[Any]]:
    """Let a FedAvg reduce arrays by a given mean, once; give what its server step makes of it.

    Parameters
    ----------
    strategy : object
        FedAvg of either API: ``_array_reducer`` makes its reducer, ``_server_step`` its model.
    mean : ClippedMean
        Takes the place of its mean.
    aggregate : Callable
        Its method that is about to be called, for errors.
    """
    made: list[object] = []
    used: list[bool] = []
    step: Callable[..., object] = strategy._server_step  # type: ignore[attr-defined]  # FedAvg's

    def the_mean(_phase: object, _together: object) -> ClippedMean:
        if used:
            raise AggregationError(
                f"{_named(strategy, aggregate)} reduced the replies twice: with differential "
                "privacy there is one release a round."
            )
        used.append(True)
        return mean

    def stepped(*arguments: object) -> object:
        made.append(step(*arguments))
        return made[-1]

    vars(strategy).update(_array_reducer=the_mean, _server_step=stepped)
    try:
        yield made
    finally:
        del vars(strategy)["_array_reducer"], vars(strategy)["_server_step"]


def check_made(
    model: object, made: list[Any], strategy: object, aggregate: Callable[..., object]
) -> None:
    """Check that a model, if there is one, is among those that were made of the mean.

    Raises
    ------
    AggregationError
        If it is not: it may hold what was not noised.
    """
    if model is not None and not any(model is each for each in made):
        raise AggregationError(
            f"{_named(strategy, aggregate)} made a model of its own. It must take it from "
            "FedAvg's, which is clipped and noised."
        )


def check_averages(strategy: object, fedavg: type, makers: frozenset[str]) -> None:
    """Check that a strategy's models come from FedAvg's mean.

    Parameters
    ----------
    strategy : object
        To be wrapped.
    fedavg : type
        FedAvg of its API.
    makers : frozenset of str
        The methods in which a class of ours says by what rule it makes a model of others.

    Raises
    ------
    ValueError
        If it has another rule.
    """
    if strategy is None:
        raise ValueError("The passed strategy is None.")
    if isinstance(strategy, type):
        raise ValueError(
            f"The passed strategy is the class {strategy.__name__}: pass {strategy.__name__}(...)."
        )
    ours = [cls for cls in type(strategy).__mro__ if cls.__module__.startswith("flwr.")]
    rule = next((cls for cls in ours if makers & vars(cls).keys()), None)
    if rule is not fedavg:
        raise ValueError(
            f"{type(strategy).__name__} makes no mean of the nodes' updates, so noise for a mean "
            "does not hide a node in it. Wrap FedAvg, FedProx, FedAvgM, FedAdagrad, FedAdam, "
            "FedYogi, or a subclass of one of them."
        )


def _named(strategy: object, aggregate: Callable[..., object]) -> str:
    return f"{type(strategy).__name__}.{aggregate.__name__}"
