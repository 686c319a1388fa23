"""``flwr doctor``, and what each command says of a SuperLink that it cannot talk to.

The servers are real and in this process, and so are the commands: each fault takes milliseconds.
"""

import asyncio
import datetime
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme
from cli_apps import write_app
from schemas import checked
from typer.testing import CliRunner

from flwr.cli import flower_supernode, flwr_serverapp, superlink
from flwr.cli.commands import app as tree
from flwr.clock import unix_now
from flwr.errors import RefusedError
from flwr.transport import control, diagnosis, fleet, lines
from flwr.transport.address import Address
from flwr.transport.appio import Node, Nodes
from flwr.transport.call import Call, Caller, Refusal
from flwr.transport.server import Api, Listen, serve
from flwr.transport.tls import ServerTls

LONG_AGO = datetime.datetime(2000, 1, 1, tzinfo=datetime.UTC)
GRPC = bytes((0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 3, 0, 0, 3, 232))  # its first frame
WEBSITE = b"HTTP/1.1 404 Not Found\r\nserver: nginx\r\ncontent-length: 0\r\n\r\n"


@dataclass
class Fake:
    """What a fake SuperLink answers."""

    nodes: int = 1
    ahead: float = 0.0
    runs: tuple[control.Run, ...] = ()


async def anyone(_rule: Any, _token: str, _peer: str) -> Caller:
    return Caller(_rule)


@contextmanager
def serving(fake: Fake, tls: ServerTls | None = None) -> Iterator[tuple[int, int]]:
    """Serve the Control and the Fleet API; give both ports."""

    async def runs(_question: Any, _caller: Caller) -> control.Runs:
        return control.Runs(list(fake.runs), unix_now() + fake.ahead)

    async def nodes(_question: Any, _caller: Caller) -> Nodes:
        return Nodes([Node(index) for index in range(fake.nodes)])

    async def hello(_question: Any, _caller: Caller) -> Any:
        raise RefusedError(Refusal.NOT_ALLOWED, "not here")

    asked: dict[Call[Any, Any], Any] = {control.RUNS: runs, control.NODES: nodes}
    here = Address("127.0.0.1", 0)
    listens = [
        Listen(here, [Api("control", asked, anyone)], tls),
        Listen(here, [Api("fleet", {fleet.HELLO: hello}, anyone)], tls),
    ]
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    servers = asyncio.run_coroutine_threadsafe(serve(listens), loop).result(30)
    try:
        yield servers.addresses[0].port, servers.addresses[1].port
    finally:
        asyncio.run_coroutine_threadsafe(servers.close(0.1), loop).result(30)
        asyncio.run_coroutine_threadsafe(loop.shutdown_default_executor(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@contextmanager
def saying(words: bytes) -> Iterator[int]:
    """Serve a program that says the same to everybody, or nothing."""
    listening = socket.create_server(("127.0.0.1", 0))
    taken: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                sock, _ = listening.accept()
            except OSError:
                return
            taken.append(sock)
            if words:
                try:
                    sock.sendall(words)
                    sock.recv(1000)
                    sock.shutdown(socket.SHUT_WR)
                except OSError:
                    continue

    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()
        for sock in taken:
            sock.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


class Tls:
    """An authority, another one, and certificates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = trustme.CA()
        self.ca, self.other = folder / "ca.crt", folder / "other.crt"
        self.authority.cert_pem.write_to_path(self.ca)
        trustme.CA().cert_pem.write_to_path(self.other)

    def server(self, *names: str, **times: datetime.datetime) -> ServerTls:
        issued = self.authority.issue_cert(*names, **times)
        folder = self.folder / str(len(list(self.folder.iterdir())))
        folder.mkdir()
        issued.private_key_pem.write_to_path(folder / "key")
        issued.cert_chain_pems[0].write_to_path(folder / "cert")
        return ServerTls(folder / "cert", folder / "key", self.ca)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return Tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("FLWR_HOME", str(home))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(superlink, "PATIENCE", 0.0)
    monkeypatch.setattr(diagnosis, "LOOK_SECONDS", 1.0)


def connect(where: str, trust: str) -> None:
    Path("home", "config.toml").write_text(
        f"[superlink]\ndefault = 'hub'\n[superlink.hub]\naddress = '{where}'\n{trust}\n"
    )


PLAIN = "insecure = true"
Make = Callable[[ExitStack, Tls], tuple[str, str]]  # gives the address and the trust


def at(port: int, host: str = "127.0.0.1") -> str:
    return f"{host}:{port}"


def trust(path: Path) -> str:
    return f"root-certificates = '{path}'"


def silent(stack: ExitStack, _tls: Tls) -> tuple[str, str]:
    patch = stack.enter_context(pytest.MonkeyPatch.context())
    patch.setattr(lines, "CONNECT_SECONDS", 0.3)
    crowd = stack.enter_context(socket.socket())
    crowd.bind(("127.0.0.1", 0))
    crowd.listen(0)
    for _ in range(3):  # who comes now finds no room, and waits
        one = stack.enter_context(socket.socket())
        one.setblocking(False)
        one.connect_ex(crowd.getsockname())
    return at(crowd.getsockname()[1]), PLAIN


def hub(stack: ExitStack, tls: ServerTls | None, index: int = 0) -> int:
    return stack.enter_context(serving(Fake(), tls))[index]


def tomorrow() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)


# what is wrong: how to make it, the code, the doctor's step, words of the message
FAULTS: dict[str, tuple[Make, str, str, str]] = {
    "bad address": (lambda s, t: ("a:1x", PLAIN), "config", "configuration", "must be host:port"),
    "unknown name": (
        lambda s, t: ("nowhere.invalid:1", PLAIN), "unknown-host", "name", "nowhere.invalid",
    ),
    "refused": (
        lambda s, t: (at(free_port()), PLAIN), "connection-refused", "port", "connection refused",
    ),
    "no answer": (silent, "timed-out", "port", "too long"),
    "plain to TLS": (
        lambda s, t: (at(hub(s, t.server("127.0.0.1"))), PLAIN),
        "tls-required", "tls", "speaks TLS, and this side does not",
    ),
    "TLS to plain": (
        lambda s, t: (at(hub(s, None)), trust(t.ca)),
        "tls-not-served", "tls", "speaks plain HTTP, and this side TLS",
    ),
    "unknown CA": (
        lambda s, t: (at(hub(s, t.server("127.0.0.1"))), trust(t.other)),
        "tls-unknown-ca", "tls", "a CA that is not known here",
    ),
    "the system's CAs": (
        lambda s, t: (at(hub(s, t.server("127.0.0.1"))), ""),
        "tls-unknown-ca", "tls", "Give the root certificates",
    ),
    "another name": (
        lambda s, t: (at(hub(s, t.server("hub.example", "10.0.0.9"))), trust(t.ca)),
        "tls-wrong-name", "tls", "It is for: hub.example, 10.0.0.9.",
    ),
    "expired": (
        lambda s, t: (at(hub(s, t.server("127.0.0.1", not_after=LONG_AGO))), trust(t.ca)),
        "tls-expired", "tls", "2000-01-01",
    ),
    "not yet valid": (
        lambda s, t: (at(hub(s, t.server("127.0.0.1", not_before=tomorrow()))), trust(t.ca)),
        "tls-not-yet-valid", "tls", "not yet valid",
    ),
    "port of the nodes": (
        lambda s, t: (at(hub(s, None, 1)), PLAIN),
        "wrong-port", "server", "It serves SuperNodes (the Fleet API), not flwr commands",
    ),
    "a website": (
        lambda s, t: (at(s.enter_context(saying(WEBSITE))), PLAIN),
        "foreign-server", "server", "404 Not Found (it calls itself 'nginx')",
    ),
    "gRPC": (
        lambda s, t: (at(s.enter_context(saying(GRPC))), PLAIN),
        "foreign-server", "server", "HTTP/2 only without TLS, as gRPC does",
    ),
    "SSH": (
        lambda s, t: (at(s.enter_context(saying(b"SSH-2.0-x\r\n"))), PLAIN),
        "foreign-server", "server", "says 'SSH-2.0-x'",
    ),
    "TLS to SSH": (
        lambda s, t: (at(s.enter_context(saying(b"SSH-2.0-x\r\n"))), trust(t.ca)),
        "foreign-server", "server", "neither TLS nor HTTP, and says 'SSH-2.0-x'",
    ),
    "no certificates": (
        lambda s, t: (at(9), trust(t.folder / "nowhere.crt")),
        "settings", "root certificates", "nowhere.crt: No such file",
    ),
}  # fmt: skip
COMMANDS = {
    "run": ["run", "tiny", "hub"],
    "ls": ["ls", "hub"],
    "log": ["log", "1", "hub"],
    "stop": ["stop", "1", "hub"],
    "supernode list": ["supernode", "list", "hub"],
    "why": ["why", "1", "hub"],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_told_apart_by_every_command(fault: str, stack: ExitStack, tls: Tls) -> None:
    make, code, step, words = FAULTS[fault]
    connect(*make(stack, tls))
    write_app(Path("tiny"))
    for name, arguments in COMMANDS.items():
        ended = CliRunner().invoke(tree, [*arguments, "--format", "json"])
        assert ended.exit_code == 1, name
        error = json.loads(ended.stdout)["error"]
        assert error["code"] == code, (name, error)
        assert words in error["message"], name
        assert words in ended.stderr, name
    doctor = CliRunner().invoke(tree, ["doctor", "hub", "--format", "json"])
    assert doctor.exit_code == 1
    told = checked("doctor", doctor.stdout, success=False)
    wrong = [check for check in told["checks"] if check["status"] == "problem"]
    assert words in f"{wrong[0]['message']}\n{wrong[0]['advice']}"
    assert wrong[0]["name"] == step
    assert told["error"] == {
        "code": "problems-found",
        "message": f"Problems with: {', '.join(dict.fromkeys(one['name'] for one in wrong))}.",
    }


# A SuperNode and an app process go the same way, and say the same.

TOLD_BY_SERVERS = ("refused", "plain to TLS", "TLS to plain", "unknown CA", "another name",
                   "expired", "a website", "gRPC", "SSH")  # fmt: skip


@pytest.mark.parametrize("fault", TOLD_BY_SERVERS)
def test_each_fault_is_told_apart_by_nodes_and_app_processes(
    fault: str, stack: ExitStack, tls: Tls, caplog: pytest.LogCaptureFixture
) -> None:
    make, _, _, words = FAULTS[fault]
    where, how = make(stack, tls)
    links = ["--insecure"] if how == PLAIN else [f"--root-certificates={how.split(chr(39))[1]}"]
    assert flower_supernode.run([f"--superlink={where}", *links, "--max-retries=0"]) == 1
    assert "Exit Code: 305" in caplog.text
    assert words in caplog.text
    caplog.clear()
    waits = ["--max-wait-time=0", "--token=t"]
    assert flwr_serverapp.run([f"--runtime-api-address={where}", *links, *waits]) == 1
    assert words in caplog.text


def test_a_node_and_an_app_process_at_a_wrong_port(
    stack: ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    ports = stack.enter_context(serving(Fake()))
    where = [f"--superlink={at(ports[0])}", "--insecure"]
    assert flower_supernode.run(where) == 1
    assert "Exit Code: 305" in caplog.text
    assert f"{at(ports[0])} is the wrong port. It serves flwr commands" in caplog.text
    assert f"The Fleet API is port {ports[1]} of this server." in caplog.text
    caplog.clear()
    assert flwr_serverapp.run([f"--runtime-api-address={at(ports[1])}", "--insecure"]) == 1
    assert f"{at(ports[1])} is the wrong port. It serves SuperNodes" in caplog.text
    assert "by default port 9091" in caplog.text


# What the doctor says where all is well, or nearly.


def doctor(*arguments: str, code: int = 0) -> dict[str, dict[str, str]]:
    ended = CliRunner().invoke(tree, ["doctor", *arguments, "--format", "json"])
    assert ended.exit_code == code, ended.output
    told = checked("doctor", ended.stdout, success=code == 0)
    return {check["name"]: check for check in reversed(told["checks"])}


def test_a_superlink_that_is_well(stack: ExitStack, tls: Tls) -> None:
    port, _ = stack.enter_context(serving(Fake(), tls.server("127.0.0.1")))
    connect(at(port), trust(tls.ca))
    found = doctor()
    assert {check["status"] for check in found.values()} == {"ok"}
    assert found["connection"]["message"].startswith(f"'hub': the SuperLink at {at(port)} (the ")
    assert found["certificate"]["message"].startswith("for 127.0.0.1; by trustme")
    assert found["nodes"]["message"] == "1 online"


def test_a_superlink_that_has_no_nodes_and_another_time(stack: ExitStack) -> None:
    run = control.Run(7, "me/app", "1", "", "", "running")
    port, _ = stack.enter_context(serving(Fake(0, ahead=3630.0, runs=(run,))))
    connect(at(port), PLAIN)
    found = doctor()
    warned = {name for name, check in found.items() if check["status"] == "warning"}
    assert warned == {"encryption", "clock", "nodes", "runs"}
    assert "1h 0m ahead of this machine's" in found["clock"]["message"]
    assert "7" in found["runs"]["message"]


def test_a_certificate_that_ends_soon(stack: ExitStack, tls: Tls) -> None:
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=2)
    port, _ = stack.enter_context(serving(Fake(), tls.server("127.0.0.1", not_after=soon)))
    connect(at(port), trust(tls.ca))
    assert doctor()["certificate"]["status"] == "warning"


def test_root_certificates_that_anybody_may_change(
    stack: ExitStack, tls: Tls, tmp_path: Path
) -> None:
    port, _ = stack.enter_context(serving(Fake(), tls.server("127.0.0.1")))
    copy = tmp_path / "ca.crt"
    copy.write_bytes(tls.ca.read_bytes())
    copy.chmod(0o666)
    connect(at(port), trust(copy))
    assert f"chmod go-w {copy}" in doctor(code=1)["root certificates"]["advice"]


def test_a_run_in_place() -> None:
    write_app(Path("tiny"))
    found = doctor("tiny")
    assert found["connection"]["message"].startswith("'pair': in place")
    assert "of 2 nodes" in found["cpus"]["message"]
    assert found["configuration"]["message"].endswith("and none is needed")
    assert not Path("home", "config.toml").exists()


def test_more_cpus_for_a_client_than_there_are() -> None:
    Path("home", "config.toml").write_text(
        "[superlink.big]\noptions.client-resources-num-cpus = 9999\n"
    )
    assert "num_cpus = 9999" in doctor("big", code=1)["cpus"]["message"]


def test_a_home_and_a_database_that_cannot_be_used(tmp_path: Path) -> None:
    state = tmp_path / "home" / "wildflower"
    state.mkdir()
    (state / "runs.db").write_bytes(b"no database" * 1000)
    assert "runs.db" in doctor(code=1)["database"]["message"]
    assert (state / "runs.db").read_bytes() == b"no database" * 1000


def test_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLWR_HOEM", "x")
    found = doctor()
    assert "FLWR_HOME?" in found["environment"]["advice"]


def test_an_unknown_connection() -> None:
    connect("h:1", PLAIN)
    assert "did you mean 'hub'?" in doctor("hubb", code=1)["connection"]["message"]


def test_as_text(stack: ExitStack) -> None:
    connect(at(free_port()), PLAIN)
    ended = CliRunner().invoke(tree, ["doctor"])
    assert ended.exit_code == 1
    assert "problem  port" in ended.stdout
    assert "1 problem, 1 warning." in ended.stdout
    assert ended.stderr == "Error: Problems with: port.\n"
