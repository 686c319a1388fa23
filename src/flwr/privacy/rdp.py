"""The accountant of Renyi differential privacy, on the library dp-accounting."""

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from flwr.privacy.accounting import (
    GaussianPrivacyEvent,
    NeighboringRelation,
    PrivacyConfig,
    SamplingMethod,
)
from flwr.privacy.ledger import Composition, Ledger

DEFAULT_ORDERS: tuple[float, ...] = (
    *(1 + tenths / 10 for tenths in range(1, 100)),
    *map(float, range(11, 64)),
    *(128.0, 256.0, 512.0, 1024.0),
)


class RdpAccountant(Ledger):
    """Adds up Gaussian releases by their Renyi differential privacy [1]_.

    Needs the library dp-accounting, the extra ``flwr[dp]``.

    Parameters
    ----------
    config : PrivacyConfig
        What is accounted for; all sampling methods. The wrappers of strategies take
        ``NO_AMPLIFICATION`` only; the others are for rounds of one's own.
    orders : Sequence[float], optional
        The Renyi orders to choose from, finite and above 1; by default 156 from 1.1 to 1024.

    Raises
    ------
    ImportError
        If dp-accounting is not installed.
    ValueError
        If the orders are none, or not all finite and above 1.

    References
    ----------
    .. [1] Mironov, Renyi Differential Privacy, https://arxiv.org/abs/1702.07476
    """

    backend: ClassVar[str] = "rdp"

    def __init__(self, config: PrivacyConfig, orders: Sequence[float] | None = None) -> None:
        super().__init__(config)
        _library()  # that it is missing is said now, not after the first round
        self._orders = DEFAULT_ORDERS if orders is None else tuple(map(float, orders))
        if not self._orders or not all(1 < order < math.inf for order in self._orders):
            raise ValueError(f"orders must be finite numbers above 1, not {orders!r}.")

    def state_dict(self) -> dict[str, Any]:
        """Return the config, the orders and the releases as plain data that JSON can hold."""
        return {**super().state_dict(), "orders": list(self._orders)}

    def _delta(self, compositions: Sequence[Composition], epsilon: float) -> float:
        if not compositions:
            return 0.0
        return float(self._composed(compositions).get_delta(epsilon))

    def _epsilon(
        self, compositions: Sequence[Composition], delta: float
    ) -> tuple[float, float | None]:
        if not compositions:
            return 0.0, self._orders[0]
        accountant = self._composed(compositions)
        epsilon, order = accountant.get_epsilon_and_optimal_order(delta)
        return float(epsilon), float(order)

    def _composed(self, compositions: Sequence[Composition]) -> Any:
        dp, relations, accountant_class = _library()
        relation = {
            NeighboringRelation.ADD_OR_REMOVE_ONE: relations.ADD_OR_REMOVE_ONE,
            NeighboringRelation.REPLACE_ONE: relations.REPLACE_ONE,
        }[self._config.neighboring_relation]
        accountant = accountant_class(list(self._orders), relation)
        with _low_orders_left_out():
            for event, times in compositions:
                accountant.compose(self._library_event(dp, event), times)
        return accountant

    def _library_event(self, dp: Any, event: GaussianPrivacyEvent) -> Any:
        gaussian = dp.GaussianDpEvent(event.noise_multiplier)
        match self._config.sampling_method:
            case SamplingMethod.POISSON:
                share = event.sample_size / event.population_size
                return dp.PoissonSampledDpEvent(share, gaussian)
            case SamplingMethod.WITHOUT_REPLACEMENT:
                return dp.SampledWithoutReplacementDpEvent(
                    event.population_size, event.sample_size, gaussian
                )
            case SamplingMethod.NO_AMPLIFICATION:
                return gaussian


def _library() -> tuple[Any, Any, Any]:
    """Return dp-accounting's events, its neighbouring relations and its accountant."""
    try:
        import dp_accounting
        from dp_accounting.rdp import RdpAccountant as Accountant
    except ImportError as error:
        raise ImportError(
            "RdpAccountant needs the library dp-accounting: install flwr[dp]. "
            "GaussianAccountant does without it where sampling_method is 'no-amplification'."
        ) from error
    return dp_accounting, dp_accounting.NeighboringRelation, Accountant


@contextmanager
def _low_orders_left_out() -> Iterator[None]:
    """Keep the library from warning, each time, that it leaves out orders it cannot compute.

    They are the lowest ones under Poisson sampling; without them the bound still holds.
    """
    logger = logging.getLogger("absl")
    logger.addFilter(_is_no_left_out_order)
    try:
        yield
    finally:
        logger.removeFilter(_is_no_left_out_order)


def _is_no_left_out_order(record: logging.LogRecord) -> bool:
    return "Excluding this order" not in record.getMessage()
