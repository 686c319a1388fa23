"""The README's deployment, typed as it is written; only the ports are others: its may be taken."""

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployed import DIGITS, HUB_READY, NODE_READY, ROOT, Deployment, Running

SECTION = (ROOT / "README.md").read_text().partition("\n## Deployment\n")[2].partition("\n## ")[0]
COMMANDS = re.findall(r"^```shell\n(.*?)\n```$", SECTION, re.MULTILINE | re.DOTALL)


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    deployment = Deployment(tmp_path)
    example = deployment.work / "examples" / DIGITS.name
    shutil.copytree(DIGITS, example, ignore=shutil.ignore_patterns("__pycache__"))
    project = example / "pyproject.toml"
    port = str(deployment.control_port)
    project.write_text(project.read_text().replace("127.0.0.1:9093", f"127.0.0.1:{port}"))
    yield deployment
    deployment.close()


def test_the_readme_as_it_is_typed(deployment: Deployment) -> None:
    hub, *nodes, run = COMMANDS
    assert len(nodes) == 2
    ports = (
        f" --fleet-api-address 127.0.0.1:{deployment.fleet_port}"
        f" --control-api-address 127.0.0.1:{deployment.control_port}"
        f" --serverappio-api-address 127.0.0.1:{deployment.app_port}"
    )
    typed(deployment, "hub", hub + ports).wait_for(HUB_READY)
    for node in nodes:
        superlink = f" --superlink 127.0.0.1:{deployment.fleet_port}"
        typed(deployment, "nodes", node + superlink).wait_for(NODE_READY)
    following = typed(deployment, "user", run)
    assert following.wait() == 0, following.output
    assert "Round 10/10" in following.output
    assert (deployment.work / "state.db").is_file()
    (saved,) = (deployment.home("hub") / "wildflower" / "runs").glob("*/artifacts/model.npz")
    assert saved.stat().st_size > 10_000


def typed(deployment: Deployment, whose: str, line: str) -> Running:
    """Start what a line says; ``.venv/bin`` is where this interpreter is."""
    program, *arguments = shlex.split(line)
    assert program.startswith(".venv/bin/"), line
    return deployment.start(whose, Path(program).name, *arguments)
