"""Options of ``flower-supernode`` and ``flwr-clientapp``: what is said of wrong ones."""

import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from flwr.cli.flower_supernode import run as run_supernode
from flwr.cli.flwr_clientapp import run as run_clientapp
from flwr.supernode.health import health_endpoint
from flwr.transport.address import Address


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--superlink", "a:b:c", "--insecure"], "Exit Code: 600"),
        (["--insecure", "--root-certificates", "x.pem"], "Exit Code: 603"),
        (["--root-certificates", "/nowhere/x.pem"], "/nowhere/x.pem"),
        (["--superlink", "http://a:1"], "plain http"),
        (["--superlink", "https://a:1", "--insecure"], "https"),
        (["--insecure", "--node-config", "a=b="], "--node-config"),
        (["--insecure", "--isolation", "process", "--ssl-certfile", "c"], "--ssl-keyfile"),
        (["--insecure", "--state-dir", "/proc/nothing"], "/proc/nothing"),
    ],
)
def test_a_node_does_not_start_with_options_that_cannot_be_kept(
    options: list[str], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert run_supernode(options) == 1
    assert said in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("number", ["0", "-1", "two"])
def test_a_node_takes_one_message_at_a_time_or_more(
    number: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        run_supernode(["--insecure", "--max-concurrent", number])
    assert "1 or more" in capsys.readouterr().err


def test_options_without_meaning_are_told(caplog: pytest.LogCaptureFixture) -> None:
    options = ["--insecure", "--superlink", "127.0.0.1:9", "--max-retries", "0", "--grpc-rere"]
    assert run_supernode([*options, "--clientappio-api-address", "127.0.0.1:9094"]) == 1
    assert "--grpc-rere has no effect" in caplog.text
    assert "--clientappio-api-address has no effect" in caplog.text
    assert "Exit Code: 305" in caplog.text


def test_that_clientapps_are_served_without_tls_is_told(caplog: pytest.LogCaptureFixture) -> None:
    options = ["--insecure", "--superlink", "127.0.0.1:9", "--max-retries", "0"]
    hosts = ["--isolation", "process", "--clientappio-api-address", "127.0.0.1:0"]
    assert run_supernode([*options, *hosts]) == 1
    assert "ClientApps are served without TLS" in caplog.text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--clientappio-api-address", "a:b:c", "--insecure"], "Exit Code: 600"),
        (["--insecure", "--root-certificates", "x.pem"], "Exit Code: 603"),
        (["--root-certificates", "/nowhere/x.pem"], "Exit Code: 604"),
    ],
)
def test_a_host_does_not_start_with_options_that_cannot_be_kept(
    options: list[str], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert run_clientapp(options) == 1
    assert said in caplog.text


def test_the_health_endpoint_answers_at_its_path_only() -> None:
    with health_endpoint(Address("127.0.0.1", 0)) as port:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
            assert (answer.status, answer.read()) == (200, b"")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10)


@pytest.mark.parametrize(
    "options",
    [
        ["--health-server-address"],
        ["--isolation", "process", "--clientappio-api-address"],
    ],
    ids=lambda options: options[-1],
)
def test_an_address_in_use_is_named_and_the_hub_is_not_to_blame(
    options: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert run_supernode(["--insecure", *options, address]) == 1
    assert "Exit Code: 600" in caplog.text
    assert address in caplog.text
    assert "SuperLink" not in caplog.text
