"""Hub, nodes, ServerApps and workers are killed at random instants; the run comes out the same.

Thirty kills in each of the two modes; `FLWR_CHAOS_KILLS` and `FLWR_CHAOS_SEED` make it longer and
other (`make chaos`).
"""

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chaos import (
    OWN_MAIN,
    STRATEGY,
    Victims,
    arrays_of,
    kill_many,
    left_of,
    read_journal,
    submit,
    write_chaos_app,
)
from deployed import Deployment, Running, free_ports, gate, wait_until

KILLS = int(os.environ.get("FLWR_CHAOS_KILLS", "30"))
SEED = int(os.environ.get("FLWR_CHAOS_SEED", "1"))
ROUNDS = KILLS  # about so many are done meanwhile; the last one waits until all are killed
NODES = 3
GUARD = 100.0 + KILLS  # seconds


def start_helpers(deployment: Deployment, ports: list[int]) -> list[Running]:
    """Start what starts app processes, for --isolation process; return the hosts of ClientApps."""
    appio = f"127.0.0.1:{deployment.app_port}"
    superexec = ["--plugin-type=serverapp", f"--appio-api-address={appio}"]
    deployment.start("hub", "flower-superexec", "--insecure", *superexec)
    return [
        deployment.start(
            "nodes", "flwr-clientapp", "--insecure", f"--clientappio-api-address=127.0.0.1:{port}"
        )
        for port in ports
    ]


@pytest.mark.timeout(240 + 4 * KILLS)
@pytest.mark.parametrize(("server", "isolation"), [(STRATEGY, "subprocess"), (OWN_MAIN, "process")])
def test_a_run_whose_processes_are_killed_comes_out_the_same(
    deploy: Callable[..., Deployment], tmp_path: Path, server: str, isolation: str
) -> None:
    process = isolation == "process"
    options = ["--isolation=process"] if process else []
    deployment = deploy(nodes=0, database=True, hub_options=options)
    ports = free_ports(NODES)
    for index in range(NODES):
        own = [f"--clientappio-api-address=127.0.0.1:{ports[index]}"] if process else []
        deployment.start_node(index, NODES, *options, *own)
    victims = Victims(deployment, start_helpers(deployment, ports) if process else [])
    app = write_chaos_app(tmp_path / "chaos-app", server)

    calm = submit(deployment, app, tmp_path / "calm", rounds=ROUNDS)
    outcome = deployment.follow(calm, GUARD)
    ended = deployment.run(calm)["status"]
    printed = [node.output for node in deployment.nodes]
    assert (outcome.code, ended) == (0, "finished:completed"), (outcome, *printed)

    with gate(tmp_path / "gate") as open_gate:
        run_id = submit(deployment, app, tmp_path / "wild", rounds=ROUNDS, gate=tmp_path / "gate")
        kill_many(victims, KILLS, random.Random(SEED))
        open_gate()
    outcome = deployment.follow(run_id, GUARD)
    details: Any = deployment.run(run_id)
    assert outcome.code == 0, (outcome, details, victims.killed)
    assert details["status"] == "finished:completed", details

    assert arrays_of(tmp_path / "wild") == arrays_of(tmp_path / "calm")
    journal = read_journal(tmp_path / "wild" / "journal")
    assert not journal.again_after_use
    assert len(journal.used) == 2 * ROUNDS

    wait_until(lambda: not left_of(deployment), 10)
