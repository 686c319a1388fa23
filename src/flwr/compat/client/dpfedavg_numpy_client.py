"""`DPFedAvgNumPyClient`: the client's half of the older differential privacy."""

from numbers import Real
from typing import Any

import numpy as np

from flwr.compat.client.numpy_client import NumPyClient
from flwr.compat.differential_privacy import (
    add_gaussian_noise_inplace,
    compute_adaptive_clip_model_update,
)
from flwr.compat.typing import NDArrays, Scalar
from flwr.log import warn_deprecated_feature

_BOUND = "dpfedavg_clip_norm"
_STDDEV = "dpfedavg_noise_stddev"
_ADAPTS = "dpfedavg_adaptive_clip_enabled"
_NORM_BIT = "dpfedavg_norm_bit"


class DPFedAvgNumPyClient(NumPyClient):
    """Clip, and if the server asks for it noise, what another client trains. Deprecated.

    Use it with ``DPFedAvgFixed`` or ``DPFedAvgAdaptive``, which send ``dpfedavg_clip_norm``, and
    ``dpfedavg_noise_stddev`` if clients are to add the noise. With the latter the metric
    ``dpfedavg_norm_bit`` tells whether the update was *not* longer than the bound.

    Parameters
    ----------
    client : NumPyClient
        The client that trains. Everything else is asked of it as it is.
    """

    def __init__(self, client: NumPyClient) -> None:
        warn_deprecated_feature(
            "`DPFedAvgNumPyClient` wrapper: use `flwr.clientapp.mod.fixedclipping_mod`."
        )
        self.client = client

    def get_properties(self, config: dict[str, Scalar]) -> dict[str, Scalar]:
        """Return the client's properties."""
        return self.client.get_properties(config)

    def get_parameters(self, config: dict[str, Scalar]) -> NDArrays:
        """Return the client's parameters."""
        return self.client.get_parameters(config)

    def fit(
        self, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[NDArrays, int, dict[str, Scalar]]:
        """Train with the client, and clip what it changed.

        Raises
        ------
        KeyError
            If the server sent no bound.
        TypeError
            If what it sent is of another type.
        """
        sent = [np.array(array) for array in parameters]
        bound = _number(config, _BOUND, "Clipping threshold")
        stddev = _number(config, _STDDEV, "Scale of noise to be added") if _STDDEV in config else 0
        trained, examples, metrics = self.client.fit(parameters, config)
        arrays = [np.array(array) for array in trained]
        clipped = compute_adaptive_clip_model_update(arrays, sent, bound)
        if stddev:
            add_gaussian_noise_inplace(arrays, stddev)
        if _ADAPTS in config:
            if not isinstance(config[_ADAPTS], bool):
                raise TypeError(f"{_ADAPTS} should be a boolean-valued flag.")
            metrics = {**metrics, _NORM_BIT: not clipped}
        return arrays, examples, metrics

    def evaluate(
        self, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[float, int, dict[str, Scalar]]:
        """Evaluate with the client."""
        return self.client.evaluate(parameters, config)


def _number(config: dict[str, Any], key: str, what: str) -> float:
    if key not in config:
        raise KeyError(f"{what} not supplied by the server: the configuration has no '{key}'.")
    value = config[key]
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{what} ('{key}') should be a floating point value, not {value!r}.")
    return float(value)
