"""How long processes try on when the other side is away: as long as they were told."""

from collections.abc import Callable
from pathlib import Path

from deployed import Deployment, free_ports, wait_gone, wait_until

Deploy = Callable[..., Deployment]


def test_app_processes_of_a_hub_that_is_gone_give_up_when_they_were_told_to(
    deploy: Deploy, app: Callable[..., Path]
) -> None:
    deployment = deploy(0, database=True, hub_options=["--app-max-wait-time=0.5"])
    run_id = deployment.submit(app())  # it waits for nodes, that is, for the hub
    wait_until(lambda: deployment.run(run_id)["status"] == "running")
    processes = deployment.app_processes()
    assert processes
    assert deployment.hub is not None
    deployment.hub.kill()
    wait_gone(processes)


def test_nodes_and_launchers_give_up_when_they_were_told_to(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    (nobody,) = free_ports(1)
    where = f"127.0.0.1:{nobody}"
    commands = [
        ("flower-supernode", f"--superlink={where}", "--max-wait-time=0.5"),
        ("flower-supernode", f"--superlink={where}", "--max-wait-time=inf", "--max-retries=1"),
        ("flwr-serverapp", f"--runtime-api-address={where}", "--max-wait-time=0.5"),
        ("flwr-clientapp", f"--runtime-api-address={where}", "--max-wait-time=0.5"),
        ("flower-superexec", f"--runtime-api-address={where}", "--max-wait-time=0.5"),
    ]
    try:
        started = [deployment.start("nodes", *command, "--insecure") for command in commands]
        for each in started:
            assert each.wait() == 1
            assert f"Cannot reach {where}: connection refused" in each.output
        assert ["Exit Code: 305" in each.output for each in started[:2]] == [True, True]
        assert "Exit Code: 250" in started[3].output
    finally:
        deployment.close()
