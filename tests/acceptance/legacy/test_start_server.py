"""A server and its clients as scripts: `start_server` and `start_client` on loopback."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme
from deployed import Certificates, Running, wait_until

Script = Callable[..., Running]

SERVER = """
import sys
import flwr as fl
from flwr.server import ServerConfig
from flwr.server.strategy import FedAvg

class Kept(FedAvg):
    def aggregate_fit(self, server_round, results, failures):
        for failure in failures:
            print("failure:", str(failure).splitlines()[0])
        return super().aggregate_fit(server_round, results, failures)

history = fl.server.start_server(
    server_address=sys.argv[1],
    config=ServerConfig({config}),
    strategy=Kept({strategy}),
    {more}
)
print("losses", history.losses_distributed)
"""

CLIENT = """
import sys, threading
import numpy as np
import flwr as fl

class Counting(fl.client.NumPyClient):
    def get_parameters(self, config):
        return [np.zeros(3)]
    def fit(self, parameters, config):
        assert threading.current_thread() is threading.main_thread()
        {fit}
        return [array + 1 for array in parameters], 10, {{}}
    def evaluate(self, parameters, config):
        return float(parameters[0][0]), 10, {{}}

fl.client.start_client(
    server_address=sys.argv[1], client=Counting().to_client(), {more}
)
print("the client goes on")
"""


def server(*, config: str = "num_rounds=2", strategy: str = "", more: str = "") -> str:
    return SERVER.format(config=config, strategy=strategy, more=more)


def client(*, fit: str = "pass", more: str = "") -> str:
    return CLIENT.format(fit=fit, more=more)


def test_a_client_that_is_killed_fails_at_once(script: Script, address: str) -> None:
    clients = [script(client(), address)]
    # when it has said what it works on, its next question for work is under way
    wait = 'idle = threading.Event().wait; idle(1.0); print("training", flush=True); idle(600)'
    clients.append(script(client(fit=wait), address))
    serving = script(server(config="num_rounds=1", strategy="accept_failures=True"), address)
    clients[1].wait_for("training")
    clients[1].kill()
    serving.wait_for("failure: Message contains an Error", seconds=30)  # others wait for 60 s
    assert serving.wait_for("aggregate_fit: received 1 results and 1 failures")
    late = script(client(), address)  # the evaluation asks for two
    assert serving.wait() == 0, serving.output
    assert "losses [(1, 1.0)]" in serving.output
    for each in (clients[0], late):
        assert each.wait() == 0, each.output


def test_a_server_and_two_clients(script: Script, address: str) -> None:
    clients = [script(client(), address) for _ in range(2)]  # they wait for their server
    serving = script(server(), address)
    assert serving.wait() == 0, serving.output
    assert "losses [(1, 1.0), (2, 2.0)]" in serving.output
    for line in (
        "DEPRECATED FEATURE: flwr.server.start_server",
        "Starting Flower server, config: num_rounds=2, no round_timeout",
        "Flower ECE: gRPC server running (2 rounds), SSL is disabled",
        "Requesting initial parameters from one random client",
        "aggregate_fit: received 2 results and 0 failures",
        "Run finished 2 round(s) in",
    ):
        assert line in serving.output
    assert "ERROR" not in serving.output
    for each in clients:
        assert each.wait() == 0, each.output
        assert "DEPRECATED FEATURE: flwr.client.start_client" in each.output
        assert each.output.count("Received: train message") == 2
        assert each.output.count("Received: reconnect message") == 1
        assert each.output.splitlines()[-2].endswith("Disconnect and shut down")
        assert each.output.splitlines()[-1] == "the client goes on"
    assert sum("Received: get_parameters" in each.output for each in clients) == 1


def test_with_tls(script: Script, address: str, certificates: Certificates) -> None:
    files = [certificates.ca, certificates.certificate, certificates.key]
    given = f"certificates=tuple(open(f, 'rb').read() for f in {[str(f) for f in files]})"
    serving = script(server(more=given), address)
    trusting = [
        script(client(more=f"root_certificates={str(certificates.ca)!r}"), address),
        script(
            client(more=f"root_certificates=open({str(certificates.ca)!r}, 'rb').read()"), address
        ),
    ]
    assert serving.wait() == 0, serving.output
    assert "SSL is enabled" in serving.output
    assert [each.wait() for each in trusting] == [0, 0]


def test_a_client_that_trusts_somebody_else_is_told_at_once(
    script: Script, address: str, certificates: Certificates
) -> None:
    files = [certificates.ca, certificates.certificate, certificates.key]
    given = f"certificates=tuple(open(f, 'rb').read() for f in {[str(f) for f in files]})"
    serving = script(server(more=given), address)
    serving.wait_for("SSL is enabled")
    stranger = trustme.CA().cert_pem.bytes()
    distrusting = script(client(more=f"root_certificates={stranger!r}"), address)
    assert distrusting.wait() == 1
    assert "TlsError" in distrusting.output
    plain = script(client(), address)
    assert plain.wait() == 1
    assert "TlsError" in plain.output


def test_a_client_that_raises_is_a_failure_and_ends(script: Script, address: str) -> None:
    once = server(config="num_rounds=1", strategy="fraction_evaluate=0.0")
    serving = script(once, address)
    first = script(client(), address)
    failing = script(client(fit="raise ValueError('no data')"), address)
    assert failing.wait() == 1
    assert "ValueError: no data" in failing.output
    assert "the client goes on" not in failing.output
    assert serving.wait() == 0, serving.output
    assert "failure: Message contains an Error (reason: ValueError: no data" in serving.output
    assert first.wait() == 0


def test_a_client_that_takes_too_long_is_a_failure(script: Script, address: str) -> None:
    serving = script(server(config="num_rounds=1, round_timeout=3.0"), address)
    slow = script(client(fit="print('slow'); threading.Event().wait()"), address)
    quick = script(client(), address)
    serving.wait_for("aggregate_fit: received 1 results and 1 failures")
    serving.wait_for("^failure: ")
    slow.kill()
    assert serving.wait() == 0, serving.output
    assert quick.wait() == 0


def test_a_server_that_is_interrupted_ends_and_its_clients_try_on(
    script: Script, address: str
) -> None:
    serving = script(server(), address)
    serving.wait_for("gRPC server running")
    patient = script(client(more="max_wait_time=1.0"), address)
    patient.wait_for("Received: get_parameters")
    serving.wait_for("Waiting for clients: 1 of 2 are connected")
    serving.send(signal.SIGINT)
    assert serving.wait() != 0
    assert "KeyboardInterrupt" in serving.output
    assert patient.wait() == 1
    assert "UnreachableError" in patient.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_client_that_is_ended_says_goodbye(
    script: Script, address: str, number: signal.Signals
) -> None:
    serving = script(server(), address)
    ended = script(client(), address)
    serving.wait_for("Waiting for clients: 1 of 2 are connected")
    ended.send(number)
    assert ended.wait() != 0
    serving.wait_for("has said goodbye; 0 online")
    assert serving.process.poll() is None


def test_a_server_that_is_terminated_leaves_no_files(
    script: Script, address: str, certificates: Certificates, tmp_path: Path
) -> None:
    files = [certificates.ca, certificates.certificate, certificates.key]
    given = f"certificates=tuple(open(f, 'rb').read() for f in {[str(f) for f in files]})"
    (tmp_path / "temporary").mkdir()
    here = f"import tempfile; tempfile.tempdir = {str(tmp_path / 'temporary')!r}"
    serving = script(here + server(more=given), address)
    serving.wait_for("SSL is enabled")
    assert list((tmp_path / "temporary").iterdir())
    assert serving.end() == 128 + signal.SIGTERM
    assert not list((tmp_path / "temporary").iterdir())


def test_nobody_answers(script: Script, address: str) -> None:
    once = script(client(more="max_retries=0"), address)
    assert once.wait() == 1
    assert "UnreachableError: Cannot reach" in once.output


def test_one_server_after_the_other_at_one_address(script: Script, address: str) -> None:
    for _ in range(2):
        serving = script(server(), address)
        clients = [script(client(), address) for _ in range(2)]
        assert serving.wait() == 0, serving.output
        assert [each.wait() for each in clients] == [0, 0]


def test_an_address_in_use(script: Script, address: str) -> None:
    first = script(server(), address)
    first.wait_for("gRPC server running")
    second = script(server(), address)
    assert second.wait() == 1
    assert f"Cannot listen at {address}" in second.output
    wait_until(lambda: first.process.poll() is None)
