"""The Dockerfiles, the compose files and the health check, as files."""

import http.server
import json
import runpy
import ssl
import subprocess
import sys
import threading
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from ruamel.yaml import YAML

from flwr.cli import flower_superexec, flower_superlink, flower_supernode

BIN = Path(sys.executable).parent
ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
COMPOSE = sorted((DOCKER / "compose").rglob("*.yml"))
HEALTH = runpy.run_path(str(DOCKER / "health.py"))
PARSERS: dict[str, ArgumentParser] = {
    "superlink": flower_superlink._parser(),
    "supernode": flower_supernode._parser(),
    "superexec": flower_superexec._parser(),
}


def services() -> list[tuple[str, str, dict[str, Any]]]:
    """Return file, name and content of each service of the compose files."""
    return [
        (path.name, name, service)
        for path in COMPOSE
        for name, service in YAML(typ="safe").load(path)["services"].items()
    ]


@pytest.mark.parametrize("path", sorted(DOCKER.glob("*Dockerfile")), ids=lambda path: path.name)
def test_dockerfiles_pass_hadolint(path: Path) -> None:
    run(BIN / "hadolint", path)


def test_compose_files_follow_the_schema() -> None:
    assert len(COMPOSE) == 5
    run(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", *COMPOSE)


@pytest.mark.parametrize("path", sorted(DOCKER.rglob("*.sh")), ids=lambda path: path.name)
def test_scripts_can_be_read(path: Path) -> None:
    assert path.stat().st_mode & 0o111
    run("bash", "-n", path)


@pytest.mark.parametrize(("file", "name", "service"), services())
def test_compose_files_give_commands_that_their_programs_take(
    file: str, name: str, service: dict[str, Any]
) -> None:
    words = [*service.get("entrypoint", [])[1:], *service.get("command", [])]
    words = [
        word.replace("${NODE_CONFIG:-partition-id=0 num-partitions=2}", "a=1") for word in words
    ]
    for program, parser in PARSERS.items():
        if name.startswith(program):
            given = parser.parse_args(words)
            database = getattr(given, "database", "state.db")
            assert database == "state.db" or file in ("complete.yml", "with-tls.yml")


def test_an_overlay_touches_only_what_is_there() -> None:
    complete = YAML(typ="safe").load(DOCKER / "compose" / "complete.yml")["services"]
    for name in ("with-state.yml", "with-tls.yml"):
        assert set(YAML(typ="safe").load(DOCKER / "compose" / name)["services"]) <= set(complete)


def test_certificates_are_for_the_names_that_are_used(tmp_path: Path) -> None:
    script = DOCKER / "compose" / "certificates.sh"
    folder = tmp_path / "made"
    environment = {"PATH": "/usr/bin:/bin", "SUPERLINK_IP": "192.0.2.7"}
    run(script, folder, env=environment)
    text = run("openssl", "x509", "-in", folder / "server.pem", "-noout", "-ext", "subjectAltName")
    assert "DNS:superlink" in text
    assert "IP Address:192.0.2.7" in text
    run("openssl", "verify", "-CAfile", folder / "ca.crt", folder / "server.pem")
    assert folder.joinpath("server.key").stat().st_mode & 0o077 == 0
    again = subprocess.run([script, folder], env=environment, capture_output=True, check=False)
    assert again.returncode == 1


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("python flower-superlink --insecure", "127.0.0.1:9093"),
        ("tini -- flower-superlink --control-api-address=0.0.0.0:7", "127.0.0.1:7"),
        ("flower-superlink --exec-api-address hub:7", "hub:7"),
        ("flower-superlink --port 7", "127.0.0.1:7"),
        ("flower-superlink --host 0.0.0.0", "127.0.0.1:8000"),
        ("flower-supernode --health-server-address [::]:8081", "127.0.0.1:8081"),
        ("flower-supernode --port 7", None),
        ("flwr-serverapp --insecure", None),
    ],
)
def test_the_health_check_asks_where_the_process_listens(
    command: str, expected: str | None
) -> None:
    assert HEALTH["address"](command.split()) == expected


class _Well(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture(params=["http", "https"])
def listening(request: pytest.FixtureRequest) -> Iterator[str]:
    server = http.server.HTTPServer(("127.0.0.1", 0), _Well)
    if request.param == "https":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("superlink").configure_cert(context)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_health_check_takes_http_and_any_certificate(listening: str) -> None:
    assert HEALTH["is_well"](listening)


def test_the_health_check_fails_where_nobody_answers() -> None:
    assert not HEALTH["is_well"]("127.0.0.1:1")


def run(*command: str | Path, env: dict[str, str] | None = None) -> str:
    """Run a command that succeeds; return what it printed."""
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, f"{json.dumps([str(word) for word in command])}\n{done}"
    return done.stdout
