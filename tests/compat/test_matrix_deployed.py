"""Apps of the matrix run unchanged with real nodes, and make what they make in a simulation."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from comparing import differences, made_by_upstream
from outcome import APPS

sys.path.append(str(Path(__file__).parents[1] / "acceptance" / "deployment"))

from deployed import Deployment

pytestmark = pytest.mark.slow  # deployments of real processes: `make nightly`

HELPERS = ["keeping.py", "tasks.py"]
NODES = 4

PROJECT = """
[project]
name = "{name}"
version = "1.0.0"

[tool.flwr.app]
publisher = "tester"

[tool.flwr.app.components]
serverapp = "{name}:{server}"
clientapp = "{name}:{client}"
"""


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("matrix")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("KEPT_IN", str(folder / "kept.json"))
        deployment = Deployment(folder)
        try:
            deployment.start_hub()
            for index in range(NODES):
                deployment.start_node(index, NODES, ready=index == NODES - 1)
            yield deployment
        finally:
            deployment.close()


@pytest.mark.parametrize(
    ("name", "server", "client"),
    [
        ("cid_numpy_criterion", "server_app", "client_app"),
        ("components_numpy_custom", "server_app", "client_app"),
        ("records_numpy_driver", "server_app", "client_app"),
        ("message_numpy", "server", "app"),
    ],
)
def test_an_app_makes_the_same_with_real_nodes(
    name: str, server: str, client: str, deployment: Deployment, tmp_path: Path
) -> None:
    for file in [f"{name}.py", *HELPERS]:
        shutil.copy(APPS / file, tmp_path)
    text = PROJECT.format(name=name, server=server, client=client)
    (tmp_path / "pyproject.toml").write_text(text)
    ended = deployment.flwr("run", tmp_path, "hub", "--stream", "--format", "json")
    assert ended.code == 0, ended
    assert ended.json()["status"] == "finished:completed"
    kept = json.loads((deployment.folder / "kept.json").read_text())
    assert differences(kept, made_by_upstream(name)["kept"], within=1e-4) == []
