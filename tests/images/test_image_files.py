"""The Dockerfiles, the compose files and the health check, as files."""

import http.server
import json
import re
import runpy
import shutil
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


def test_what_goes_into_the_images_is_copied() -> None:
    # Buildah takes no notice of what changed in a folder that is mounted, and gives the old layer.
    assert "--mount" not in (DOCKER / "Dockerfile").read_text()


@pytest.mark.parametrize(
    ("dependencies", "expected"),
    [
        (["flwr>=1.41", "numpy"], ["numpy"]),
        (["Flwr[simulation]>=1.41", "flwr @ file:///x"], []),
        (["flwr-datasets[vision]>=0.5", "flwr_mods"], ["flwr-datasets[vision]>=0.5", "flwr_mods"]),
        (None, []),
    ],
)
def test_an_app_image_gets_what_the_app_needs_beside_flwr(
    dependencies: list[str] | None, expected: list[str], tmp_path: Path
) -> None:
    found = re.search(r"python -c '(.*?)'", (DOCKER / "app.Dockerfile").read_text(), re.DOTALL)
    assert found
    script = found[1].replace("\\\n", "").replace("/tmp/app", str(tmp_path))
    needs = "" if dependencies is None else f"dependencies = {json.dumps(dependencies)}\n"
    (tmp_path / "pyproject.toml").write_text(f'[project]\nname = "app"\n{needs}')
    assert run(sys.executable, "-c", script).split("\n") == [*(expected or [""]), ""]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Make a folder with the scripts, and programs that only tell how they were called."""
    (tmp_path / "docker").mkdir()
    for name in ("build.sh", "fetch.sh"):
        shutil.copy(DOCKER / name, tmp_path / "docker")
    for name, answer in (("docker", ""), (".venv/bin/python", "1.41.0-ours.1"), ("uname", "arm64")):
        program = tmp_path / "bin" / name if "/" not in name else tmp_path / name
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f'#!/bin/sh\necho "$0 $*" >> {tmp_path}/called\necho "{answer}"\n')
        program.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ("docker.io/library/python:3.13-slim-bookworm", "python"),
        ("localhost:5000/team/debian:12", "debian"),
        ("python@sha256:1234", "python"),
        ("hub.example.org:5000/python:3.13@sha256:1234", "python"),
    ],
)
def test_tags_name_the_base_image(base: str, name: str, clone: Path) -> None:
    run(
        clone / "docker" / "build.sh",
        env={"PATH": f"{clone}/bin:/usr/bin:/bin", "BASE_IMAGE": base},
    )
    called = (clone / "called").read_text()
    for target in ("base", "superlink", "supernode", "superexec", "serverapp", "clientapp"):
        for tag in ("1.41.0-ours.1", f"1.41.0-ours.1-py3.13-{name}", "1.41.0", "latest"):
            assert f"--tag wildflower/{target}:{tag} " in called
    assert "--platform manylinux_2_28_aarch64 " in called  # what macOS calls arm64
    assert "arm64" not in called


def test_compose_files_follow_the_schema() -> None:
    assert len(COMPOSE) == 5
    run(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", *COMPOSE)


@pytest.mark.parametrize(
    "path",
    sorted([*DOCKER.rglob("*.sh"), *Path(__file__).parent.glob("*.sh")]),
    ids=lambda path: path.name,
)
def test_scripts_pass_shellcheck(path: Path) -> None:
    assert path.stat().st_mode & 0o111
    run(BIN / "shellcheck", path)


def test_an_image_name_is_built_once() -> None:
    # Several services that build the same name at the same time make `docker compose up` fail.
    for path in COMPOSE:
        made = [s["image"] for file, _, s in services() if file == path.name and "build" in s]
        assert len(made) == len(set(made)), path
    for file, name, service in services():
        if service.get("image", "").startswith("wildflower-app/"):  # in no registry of ours
            assert "build" in service or service["pull_policy"] == "never", (file, name)


def test_what_is_not_encrypted_is_for_this_machine_alone() -> None:
    for _, _, service in services():
        if "--insecure" in service.get("command", []):
            assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


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
    # strictly, as Python 3.13 does by default
    run("openssl", "verify", "-x509_strict", "-CAfile", folder / "ca.crt", folder / "server.pem")
    assert folder.joinpath("server.key").stat().st_mode & 0o077 == 0
    again = subprocess.run([script, folder], env=environment, capture_output=True, check=False)
    assert again.returncode == 1


def test_certificates_that_cannot_be_made_say_why_and_leave_nothing(tmp_path: Path) -> None:
    script = DOCKER / "compose" / "certificates.sh"
    environment = {"PATH": "/usr/bin:/bin", "SUPERLINK_IP": "hub.example.org"}
    ended = subprocess.run(
        [script, tmp_path], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "hub.example.org" in ended.stderr
    assert list(tmp_path.iterdir()) == []


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
