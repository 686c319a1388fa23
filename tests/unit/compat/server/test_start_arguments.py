"""What `start_server` and `start_client` refuse before they talk to anybody; simulation's names."""

import importlib
from pathlib import Path
from typing import Any

import pytest

import flwr.client
import flwr.server
import flwr.simulation
from flwr.client import Client, NumPyClient, start_client, start_numpy_client
from flwr.errors import SettingsError
from flwr.server import start_server
from flwr.simulation.ray_transport.utils import enable_tf_gpu_growth

CLIENT = Client()


@pytest.mark.parametrize(
    ("given", "kind", "text"),
    [
        ({}, ValueError, "Both `client_fn` and `client` are `None`, but one is required"),
        (
            {"client": CLIENT, "client_fn": lambda context: CLIENT},
            ValueError,
            "Both `client_fn` and `client` are provided, but only one is allowed",
        ),
        ({"client": "no client"}, TypeError, "`client` must be a Client, not str"),
        ({"client": CLIENT, "transport": "pigeon"}, ValueError, "Transport type pigeon is not"),
        ({"client": CLIENT, "authentication_keys": (1, 2)}, ValueError, "authentication_keys"),
        (
            {"client": CLIENT, "insecure": True, "root_certificates": b"pem"},
            ValueError,
            "'root_certificates' should not be provided when 'insecure' is set to True",
        ),
        (
            {"client": CLIENT, "root_certificates": "/there/is/none.pem"},
            FileNotFoundError,
            "none.pem",
        ),
        ({"client": CLIENT, "root_certificates": b"no pem"}, SettingsError, "holds no certificate"),
    ],
)
def test_arguments_of_a_client_that_are_refused(
    given: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        start_client(server_address="127.0.0.1:1", **given)


def test_an_address_that_cannot_be_read_ends_the_script(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SystemExit) as caught:
        start_client(server_address="nowhere", client=CLIENT)
    assert caught.value.code == 1
    assert "SuperLink address (nowhere) cannot be parsed" in caplog.text
    with pytest.raises(SystemExit, match=r"Server IP address \(nowhere\) cannot be parsed"):
        start_server(server_address="nowhere")


def test_certificates_that_are_refused(tmp_path: Path) -> None:
    given: Any = (b"ca", b"certificate")
    with pytest.raises(ValueError, match="certificates must be three PEM texts"):
        start_server(server_address="127.0.0.1:0", certificates=given)
    with pytest.raises(SettingsError, match="cannot be used together"):
        start_server(server_address="127.0.0.1:0", certificates=(b"ca", b"certificate", b"key"))


def test_all_are_deprecated(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(SystemExit):
        start_server(server_address="nowhere")
    with pytest.raises(SystemExit):
        start_numpy_client(server_address="nowhere", client=NumPyClient())
    names = (
        "flwr.server.start_server",
        "flwr.client.start_numpy_client",
        "flwr.client.start_client",
    )
    for name in names:
        assert f"DEPRECATED FEATURE: {name}()" in caplog.text


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("flwr.simulation.legacy_app", "start_simulation"),
        ("flwr.simulation.run_simulation", "run_simulation"),
        ("flwr.simulation.app", "run_simulation_process"),
        ("flwr.simulation.simulationio_connection", "SimulationIoConnection"),
    ],
)
def test_names_of_simulations_at_their_other_paths(path: str, name: str) -> None:
    assert getattr(importlib.import_module(path), name) is getattr(flwr.simulation, name)


@pytest.mark.parametrize("count", [0, -1, True, "3", None])
def test_a_simulation_names_its_own_argument(count: Any) -> None:
    with pytest.raises(ValueError, match="num_clients must be a whole number of 1 or more"):
        flwr.simulation.start_simulation(client_fn=lambda context: CLIENT, num_clients=count)


def test_connections_of_simulations_say_what_there_is_instead() -> None:
    with pytest.raises(NotImplementedError, match="flower-superlink --simulation"):
        flwr.simulation.SimulationIoConnection("127.0.0.1:9096", root_certificates=None)
    with pytest.raises(NotImplementedError, match="flower-superlink --simulation"):
        flwr.simulation.run_simulation_process(
            simulationio_api_address="127.0.0.1:9096", log_queue=None, run_once=True, flwr_dir_=None
        )


def test_tensorflow_is_told_to_take_memory_as_it_needs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_FORCE_GPU_ALLOW_GROWTH", "false")
    enable_tf_gpu_growth()
    assert importlib.import_module("os").environ["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
