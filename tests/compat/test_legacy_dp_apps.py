"""Legacy clients with mods, under the legacy wrappers of differential privacy, in a simulation."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from flwr.client import Client, ClientApp, NumPyClient
from flwr.client.mod import LocalDpMod, adaptiveclipping_mod, fixedclipping_mod
from flwr.client.typing import Mod
from flwr.common import Context, ndarrays_to_parameters
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import (
    DifferentialPrivacyClientSideAdaptiveClipping,
    DifferentialPrivacyClientSideFixedClipping,
    FedAvg,
    Strategy,
)
from flwr.simulation import run_simulation


class AddsOne(NumPyClient):
    """Adds one to each weight (the update's norm is 2), and counts its steps."""

    def fit(self, parameters, config):
        weights, steps = parameters
        return [weights + 1, steps + 5], 10, {}


def client_fn(context: Context) -> Client:
    return AddsOne().to_client()


@pytest.mark.parametrize(
    ("mod", "wrap", "second"),
    [
        (
            fixedclipping_mod,
            lambda fedavg: DifferentialPrivacyClientSideFixedClipping(fedavg, 0.0, 1.0, 3),
            1.0,
        ),
        (  # all were clipped, half of them are meant to be: exp(0.2 / 2) is the second bound
            adaptiveclipping_mod,
            lambda fedavg: DifferentialPrivacyClientSideAdaptiveClipping(
                fedavg, 0.0, 3, initial_clipping_norm=1.0
            ),
            0.5 + 0.5 * np.exp(0.1),
        ),
        (LocalDpMod(1.0, 0.0, 1.0, 1e-5), lambda fedavg: fedavg, 1.0),
    ],
)
def test_updates_are_clipped_at_the_clients(
    mod: Mod, wrap: Callable[[Strategy], Strategy], second: float
) -> None:
    models: list[list[np.ndarray]] = []

    def keep(server_round: int, arrays: list[np.ndarray], config: dict[str, Any]) -> None:
        models.append(arrays)

    def server_fn(context: Context) -> ServerAppComponents:
        initial = ndarrays_to_parameters([np.zeros(4, np.float32), np.array(7)])
        fedavg = FedAvg(
            initial_parameters=initial,
            evaluate_fn=keep,
            fraction_evaluate=0.0,
            min_available_clients=3,
        )
        return ServerAppComponents(strategy=wrap(fedavg), config=ServerConfig(num_rounds=2))

    run_simulation(ServerApp(server_fn=server_fn), ClientApp(client_fn, mods=[mod]), 3)
    for (weights, steps), expected in zip(models, [0.0, 0.5, second], strict=True):
        np.testing.assert_allclose(weights, np.full(4, expected), rtol=1e-5)
        assert steps == 7
