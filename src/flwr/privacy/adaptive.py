"""A clipping bound that follows a quantile of the updates' norms (Andrew et al. 2021).

https://arxiv.org/abs/1905.03871. The paper counts updates that were *not* clipped and aims at
``gamma`` of them; here the bit says that an update *was* clipped, and ``target = 1 - gamma``.
"""

import math
from logging import WARNING

from flwr.log import log

_BOUNDS = (1e-150, 1e150)  # their squares are floats, too
_LARGEST_EXPONENT = 700.0  # of exp


def next_bound(bound: float, clipped_share: float, target: float, learning_rate: float) -> float:
    """Return ``bound * exp(learning_rate * (clipped_share - target))``, the paper's Algorithm 1.

    It stays within the lengths that can be told from each other when norms are computed, 1e-150 to
    1e150; there is a warning if it would not.

    Parameters
    ----------
    bound : float
        The bound that clipped.
    clipped_share : float
        The share of the updates that it clipped; noise may bring it below 0 or above 1.
    target : float
        The wanted share.
    learning_rate : float
        ``eta_C`` in the paper.
    """
    exponent = learning_rate * (clipped_share - target)
    moved = bound * math.exp(min(exponent, _LARGEST_EXPONENT))
    limited = min(max(moved, _BOUNDS[0]), _BOUNDS[1])
    if limited != moved:
        log(
            WARNING,
            "The clipping bound %g would move by a factor of exp(%g); it becomes %g. A learning "
            "rate (clip_norm_lr) below %g moves it less.",
            bound,
            exponent,
            limited,
            learning_rate,
        )
    return limited


def clipped_share(clipped: float, replies: int, cohort: int, noise: float) -> float:
    """Return the noised share of clipped updates: ``1/2 + (sum(b_k - 1/2) + noise) / cohort``.

    One update moves the sum by 1/2 at most, which is what `split_noise` counts on. The cohort is
    fixed: an update that did not come counts as half a clipped one.

    Parameters
    ----------
    clipped : float
        How many updates were clipped.
    replies : int
        Out of how many.
    cohort : int
        Out of how many there should be.
    noise : float
        Drawn with the standard deviation of the count.
    """
    return 0.5 + (clipped - replies / 2 + noise) / cohort


def split_noise(
    noise_multiplier: float, cohort: int, count_stddev: float | None
) -> tuple[float, float]:
    """Divide a noise multiplier between the count of clipped updates and the model.

    With ``z`` the multiplier and ``sigma_b`` the count's standard deviation, the model is left
    ``z_delta = (z**-2 - (2 * sigma_b)**-2)**-0.5``: both together cost what one release with ``z``
    costs (the paper's Theorem 1).

    Parameters
    ----------
    noise_multiplier : float
        ``z``, not negative.
    cohort : int
        How many clients take part in a round.
    count_stddev : float, optional
        ``sigma_b``; by default ``cohort / 20``, or 0 without noise.

    Returns
    -------
    tuple[float, float]
        ``sigma_b`` and ``z_delta``.

    Raises
    ------
    ValueError
        If ``z >= 2 * sigma_b``: the count alone would cost more than there is.
    """
    if count_stddev is None:
        count_stddev = cohort / 20 if noise_multiplier > 0 else 0.0
    if noise_multiplier == 0:
        return count_stddev, 0.0
    if noise_multiplier >= 2 * count_stddev:
        raise ValueError(
            f"noise_multiplier ({noise_multiplier}) must be less than twice clipped_count_stddev "
            f"({count_stddev}): increase clipped_count_stddev, or num_sampled_clients ({cohort}), "
            "a twentieth of which it is by default."
        )
    part = noise_multiplier / (2 * count_stddev)
    effective = noise_multiplier / math.sqrt((1 - part) * (1 + part))  # no power that overflows
    if effective >= 2 * noise_multiplier:
        log(
            WARNING,
            "The count of clipped updates takes so much of the noise multiplier %s that the model "
            "is noised with %.4f: a clipped_count_stddev above %s needs less.",
            noise_multiplier,
            effective,
            count_stddev,
        )
    return count_stddev, effective
