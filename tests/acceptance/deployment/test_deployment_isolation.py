"""App processes that others start, and simulations at a SuperLink."""

from collections.abc import Callable
from pathlib import Path

import trustme
from deployed import Certificates, Deployment, free_ports, gate, wait_gone, wait_until

Deploy = Callable[..., Deployment]
WriteApp = Callable[..., Path]


def outside(
    deploy: Deploy, *, tls: Certificates | None = None, database: bool = False
) -> Deployment:
    """Start a hub and two nodes which start no app processes, and launchers that do."""
    deployment = deploy(
        0, tls=tls, database=database, hub_options=["--isolation=process"],
        node_options=["--isolation=process"],
    )  # fmt: skip
    trust = f"--root-certificates={tls.ca}" if tls else "--insecure"
    app_port = deployment.app_port
    start_launcher(deployment, trust, "serverapp", app_port)
    for index, port in enumerate(free_ports(2)):
        own = own_tls(tls, ("ssl", "appio-ssl")[index])
        deployment.start_node(index, 2, f"--clientappio-api-address=127.0.0.1:{port}", *own)
        deployment.start(
            "nodes", "flower-superexec", trust, "--plugin-type=clientapp",
            f"--appio-api-address=127.0.0.1:{port}",
        )  # fmt: skip
    return deployment


def own_tls(tls: Certificates | None, prefix: str = "ssl") -> list[str]:
    """Return the options of a node for TLS at the port of its ClientApps."""
    if tls is None:
        return []
    files = {"certfile": tls.certificate, "keyfile": tls.key, "ca-certfile": tls.ca}
    return [f"--{prefix}-{name}={file}" for name, file in files.items()]


def start_launcher(deployment: Deployment, trust: str, kind: str, port: int) -> None:
    deployment.start(
        "hub", "flower-superexec", trust, f"--plugin-type={kind}",
        f"--appio-api-address=127.0.0.1:{port}",
    )  # fmt: skip


def test_runs_whose_processes_are_started_from_outside(deploy: Deploy, app: WriteApp) -> None:
    deployment = outside(deploy)
    folder = app()
    for _ in range(2):
        ended = deployment.flwr("run", folder, "hub", "--stream")
        assert ended.code == 0, ended
        assert "the model is [2.0, 2.0, 2.0]" in ended.out


def test_the_same_with_tls(deploy: Deploy, app: WriteApp, certificates: Certificates) -> None:
    deployment = outside(deploy, tls=certificates)
    ended = deployment.flwr("run", app(), "hub", "--stream")
    assert ended.code == 0, ended


def test_processes_for_clientapps_are_told_apart_at_the_port_of_a_node(
    deploy: Deploy, certificates: Certificates, tmp_path: Path
) -> None:
    deployment = deploy(0, tls=certificates)
    (port,) = free_ports(1)
    where = f"--clientappio-api-address=127.0.0.1:{port}"
    deployment.start_node(0, 1, where, "--isolation=process", *own_tls(certificates))
    other = tmp_path / "other.crt"
    trustme.CA().cert_pem.write_to_path(other)
    fleet = f"--clientappio-api-address=127.0.0.1:{deployment.fleet_port}"
    expected = {
        ("--insecure", where): "speaks TLS, and this side does not",
        (f"--root-certificates={other}", where): "a CA that is not known here",
        (
            f"--root-certificates={certificates.ca}",
            fleet,
        ): "the wrong port. It serves SuperNodes",
    }
    hosts = {options: deployment.start("nodes", "flwr-clientapp", *options) for options in expected}
    for options, host in hosts.items():
        assert host.wait() == 1
        assert "Exit Code: 250" in host.output
        assert expected[options] in host.output


def test_a_stopped_run_ends_its_process_wherever_it_is(
    deploy: Deploy, app: WriteApp, tmp_path: Path
) -> None:
    deployment = outside(deploy)
    with gate(tmp_path / "gate"):
        run_id = deployment.submit(app(before=f"wait_at({str(tmp_path / 'gate')!r})"))
        wait_until(lambda: deployment.run(run_id)["status"] == "running")
        processes = [
            process
            for process in deployment.processes()
            if "flwr.runtime.serverapp_process" in process.cmdline()
        ]
        assert len(processes) == 1
        assert deployment.flwr("stop", run_id, "hub").code == 0
        wait_gone(processes)


def test_a_hub_that_is_killed_finds_its_outside_processes_again(
    deploy: Deploy, app: WriteApp, tmp_path: Path
) -> None:
    deployment = outside(deploy, database=True)
    with gate(tmp_path / "gate") as open_gate:
        run_id = deployment.submit(app(train=f"wait_at({str(tmp_path / 'gate')!r})"))
        wait_until(lambda: deployment.run(run_id)["status"] == "running")
        assert deployment.hub is not None
        deployment.hub.kill()
        deployment.start_hub()
        open_gate()
        log = deployment.follow(run_id)
    assert log.out.count("the server prints") == 1
    assert "the model is [2.0, 2.0, 2.0]" in log.out


def test_an_outside_serverapp_that_is_killed_is_started_again(
    deploy: Deploy, app: WriteApp, tmp_path: Path
) -> None:
    deployment = outside(deploy)
    with gate(tmp_path / "gate") as open_gate:
        run_id = deployment.submit(app(train=f"wait_at({str(tmp_path / 'gate')!r})"))
        wait_until(lambda: deployment.run(run_id)["status"] == "running")
        (process,) = [
            each
            for each in deployment.processes()
            if "flwr.runtime.serverapp_process" in each.cmdline()
        ]
        process.kill()
        open_gate()
        log = deployment.follow(run_id)
    assert "the model is [2.0, 2.0, 2.0]" in log.out
    assert deployment.run(run_id)["status"] == "finished:completed"


def test_simulations_at_a_superlink(deploy: Deploy, app: WriteApp) -> None:
    deployment = deploy(0, hub_options=["--simulation"])
    ended = deployment.flwr(
        "run", app(), "hub", "--stream", "--federation-config", "num-supernodes=3"
    )
    assert ended.code == 0, ended
    assert "Sampled 3 nodes (out of 3)" in ended.out
    assert "the model is [2.0, 2.0, 2.0]" in ended.out
    wrong = deployment.flwr(
        "run", deployment.folder / "tiny-app", "hub", "--federation-config", "num-supernodes=0"
    )
    assert wrong.code == 1
