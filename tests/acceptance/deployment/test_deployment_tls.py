"""TLS on every link, and what is refused."""

from collections.abc import Callable
from pathlib import Path

import trustme
from deployed import Certificates, Deployment, write_certificates

Deploy = Callable[..., Deployment]


def connect(deployment: Deployment, lines: str, host: str = "127.0.0.1") -> None:
    """Write the user's only connection."""
    (deployment.home("user") / "config.toml").write_text(
        f"[superlink.hub]\naddress = '{host}:{deployment.control_port}'\n{lines}\n"
    )


def test_a_run_with_tls_on_every_link(
    deploy: Deploy, app: Callable[..., Path], certificates: Certificates
) -> None:
    deployment = deploy(2, tls=certificates)
    ended = deployment.flwr("run", app(), "hub", "--stream")
    assert ended.code == 0, ended
    assert "the model is [2.0, 2.0, 2.0]" in ended.out
    assert len(deployment.run_json("supernode", "list", "hub")["nodes"]) == 2
    checks = deployment.run_json("doctor", "hub")["checks"]
    assert {check["name"] for check in checks} >= {"tls", "clock", "disk of the SuperLink", "nodes"}
    assert [check for check in checks if check["status"] == "problem"] == []


def test_app_processes_find_a_hub_whose_certificate_names_no_loopback_address(
    deploy: Deploy, app: Callable[..., Path], authority: trustme.CA, tmp_path: Path
) -> None:
    tls = write_certificates(tmp_path / "tls", authority, "*.example.org", "localhost")
    deployment = deploy(0, tls=tls)
    connect(deployment, f"root-certificates = '{tls.ca}'", host="localhost")
    for index in range(2):
        deployment.start_node(index, 2, f"--superlink=localhost:{deployment.fleet_port}")
    ended = deployment.flwr("run", app(), "hub", "--stream")
    assert ended.code == 0, ended


def test_another_authority_is_refused(
    deploy: Deploy, certificates: Certificates, tmp_path: Path
) -> None:
    deployment = deploy(0, tls=certificates)
    other = tmp_path / "other.crt"
    trustme.CA().cert_pem.write_to_path(other)
    connect(deployment, f"root-certificates = '{other}'")
    ended = deployment.flwr("ls", "hub", "--format", "json")
    assert ended.code == 1
    assert ended.json()["error"]["code"] == "tls-unknown-ca"
    node = deployment.start_node(0, 1, f"--root-certificates={other}", ready=False)
    assert node.wait() == 1
    assert "certificate" in node.output


def test_the_system_does_not_know_our_authority(deploy: Deploy, certificates: Certificates) -> None:
    deployment = deploy(0, tls=certificates)
    connect(deployment, "insecure = false")
    ended = deployment.flwr("ls", "hub")
    assert ended.code == 1
    assert "root-certificates" in ended.err


def test_another_name_is_refused(deploy: Deploy, authority: trustme.CA, tmp_path: Path) -> None:
    deployment = deploy(0, tls=write_certificates(tmp_path / "tls", authority, "hub.example"))
    ended = deployment.flwr("ls", "hub")
    assert ended.code == 1
    assert "127.0.0.1" in ended.err
    node = deployment.start_node(0, 1, ready=False)
    assert node.wait() == 1
    assert "127.0.0.1" in node.output


def test_plain_http_is_refused(deploy: Deploy, certificates: Certificates) -> None:
    deployment = deploy(0, tls=certificates)
    connect(deployment, "insecure = true")
    ended = deployment.flwr("ls", "hub", "--format", "json")
    assert ended.code == 1
    assert ended.json()["error"]["code"] == "tls-required"
    assert "TLS" in ended.err


def test_tls_to_a_superlink_without_it_is_told(deploy: Deploy, certificates: Certificates) -> None:
    deployment = deploy(0)
    connect(deployment, f"root-certificates = '{certificates.ca}'")
    ended = deployment.flwr("ls", "hub", "--format", "json")
    assert ended.code == 1
    assert ended.json()["error"]["code"] == "tls-not-served"
    assert "insecure" in ended.err
