"""How much Gaussian noise a privacy level needs, and which level some noise gives.

``mu`` is the sensitivity divided by the noise's standard deviation. The exact trade-off is that of
Balle & Wang 2018 (https://arxiv.org/abs/1805.06530, Theorem 8)::

    delta(epsilon) = Phi(mu/2 - epsilon/mu) - exp(epsilon) * Phi(-mu/2 - epsilon/mu)
"""

import math
from collections.abc import Callable

_LOG_SQRT_TAU = 0.5 * math.log(2 * math.pi)
_FAR_TAIL = -30.0  # below it erfc is nearing the smallest float


def classical_stddev(sensitivity: float, epsilon: float, delta: float) -> float:
    """Return ``sensitivity * sqrt(2 ln(1.25 / delta)) / epsilon`` (Dwork & Roth 2014, Thm A.1).

    Proven for ``epsilon <= 1`` only: above about 8 the noise is too little.
    """
    return sensitivity * math.sqrt(2 * math.log(1.25 / delta)) / epsilon


def analytic_stddev(sensitivity: float, epsilon: float, delta: float) -> float:
    """Return the least standard deviation that gives (epsilon, delta), for any epsilon above 0."""
    if sensitivity == 0:
        return 0.0
    mu, _ = _bisect(lambda mu: gaussian_delta(mu, epsilon) <= delta)
    return sensitivity / mu


def gaussian_delta(mu: float, epsilon: float) -> float:
    """Return the exact delta of the Gaussian mechanism at an epsilon of 0 or more."""
    if mu == 0:
        return 0.0
    above = _log_cdf(mu / 2 - epsilon / mu)
    if above == -math.inf:
        return 0.0
    below = epsilon + _log_cdf(-mu / 2 - epsilon / mu)
    return max(0.0, -math.expm1(below - above) * math.exp(above))


def gaussian_epsilon(mu: float, delta: float) -> float:
    """Return the least epsilon, 0 or more, at which the Gaussian mechanism's delta is enough."""
    if gaussian_delta(mu, 0.0) <= delta:
        return 0.0
    _, epsilon = _bisect(lambda epsilon: gaussian_delta(mu, epsilon) > delta)
    return epsilon


def _bisect(holds: Callable[[float], bool]) -> tuple[float, float]:
    """Return neighbouring values above 0 up to which something holds, and from which it does not.

    What holds for the lower one and not for the upper one holds below and above accordingly.
    """
    low, high = 1.0, 1.0
    while holds(high):
        low, high = high, 2 * high
    while not holds(low):
        low, high = low / 2, low
    while low < (middle := (low + high) / 2) < high:
        if holds(middle):
            low = middle
        else:
            high = middle
    return low, high


def _log_cdf(x: float) -> float:
    """Return the logarithm of the standard normal distribution's Phi(x)."""
    if x > _FAR_TAIL:
        return math.log(0.5 * math.erfc(-x / math.sqrt(2)))
    inverse = x**-2  # Abramowitz & Stegun 26.2.12: the next term is below 2e-12
    series = -inverse * (1 - inverse * (3 - inverse * (15 - inverse * 105)))
    return -x * x / 2 - math.log(-x) - _LOG_SQRT_TAU + math.log1p(series)
