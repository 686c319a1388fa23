"""`DPFedAvgNumPyClient`: clips, and noises, what another client trains."""

from typing import Any

import numpy as np
import pytest

from flwr.client import NumPyClient
from flwr.client.dpfedavg_numpy_client import DPFedAvgNumPyClient


class Trains(NumPyClient):
    """Writes into the arrays that it is given."""

    def __init__(self) -> None:
        self.result = np.array([3.0, 4.0], np.float32)

    def get_properties(self, config):
        return {"a": 1}

    def get_parameters(self, config):
        return [self.result]

    def fit(self, parameters, config):
        parameters[0] += 100
        return [self.result], 7, {"m": 1}

    def evaluate(self, parameters, config):
        return 0.5, 2, {}


@pytest.fixture
def client(caplog: pytest.LogCaptureFixture) -> DPFedAvgNumPyClient:
    made = DPFedAvgNumPyClient(Trains())
    assert caplog.messages[-1].startswith("DEPRECATED FEATURE: `DPFedAvgNumPyClient` wrapper")
    return made


def fit(client: DPFedAvgNumPyClient, **config: Any) -> tuple[np.ndarray, dict[str, Any]]:
    named = {f"dpfedavg_{name}": value for name, value in config.items()}
    arrays, examples, metrics = client.fit([np.zeros(2, np.float32)], named)
    assert examples == 7
    return arrays[0], metrics


def test_an_update_is_clipped(client: DPFedAvgNumPyClient) -> None:
    array, metrics = fit(client, clip_norm=1.0)
    assert array.dtype == np.float32
    np.testing.assert_allclose(array, [0.6, 0.8], rtol=1e-6)
    assert metrics == {"m": 1}
    assert client.client.result.tolist() == [3.0, 4.0], "the client's own arrays stay"


@pytest.mark.parametrize(("bound", "within"), [(1.0, False), (10.0, True)])
def test_the_bit_says_that_it_was_not_longer(
    client: DPFedAvgNumPyClient, bound: float, within: bool
) -> None:
    _, metrics = fit(client, clip_norm=bound, adaptive_clip_enabled=True)
    assert metrics == {"m": 1, "dpfedavg_norm_bit": within}


def test_noise_is_added_if_the_server_asks_for_it(client: DPFedAvgNumPyClient) -> None:
    client.client.result = np.zeros(20_000)
    arrays, _, _ = client.fit(
        [np.zeros(20_000)], {"dpfedavg_clip_norm": 1.0, "dpfedavg_noise_stddev": 0.1}
    )
    assert arrays[0].std() == pytest.approx(0.1, rel=0.05)


def test_wrong_settings_of_the_server_are_named(client: DPFedAvgNumPyClient) -> None:
    with pytest.raises(KeyError, match="Clipping threshold not supplied by the server"):
        fit(client)
    with pytest.raises(TypeError, match="Clipping threshold"):
        fit(client, clip_norm="1.0")
    with pytest.raises(TypeError, match="Scale of noise"):
        fit(client, clip_norm=1.0, noise_stddev=True)
    with pytest.raises(TypeError, match="dpfedavg_adaptive_clip_enabled"):
        fit(client, clip_norm=1.0, adaptive_clip_enabled=1)


def test_the_rest_is_asked_of_the_client(client: DPFedAvgNumPyClient) -> None:
    assert client.get_properties({}) == {"a": 1}
    assert client.get_parameters({})[0].tolist() == [3.0, 4.0]
    assert client.evaluate([], {}) == (0.5, 2, {})
