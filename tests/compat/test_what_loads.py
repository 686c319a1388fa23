"""What apps import loads nothing heavy: asked of a fresh interpreter."""

import subprocess
import sys

import pytest

HEAVY = [
    *["aiohttp", "httpx", "requests", "urllib3", "http.client"],  # HTTP
    *["sqlalchemy", "alembic", "sqlite3"],  # SQL
    *["typer", "click", "rich"],  # terminal
    *["torch", "ray", "cloudpickle", "ml_dtypes", "plotext", "pygal", "dp_accounting", "scipy"],
]


def loaded_after(statement: str) -> set[str]:
    result = subprocess.run(
        [sys.executable, "-c", f"import sys\n{statement}\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(result.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import flwr",
        "import flwr.app",
        "import flwr.clientapp",
        "import flwr.serverapp, flwr.serverapp.strategy",
        "from flwr.serverapp import Grid, ServerApp; from flwr.serverapp.strategy import FedAvg",
        "import flwr.client, flwr.common",
        "import flwr.server, flwr.server.strategy, flwr.server.workflow",
    ],
)
def test_apps_imports_load_no_heavy_library(statement: str) -> None:
    assert loaded_after(statement).isdisjoint(HEAVY)


def test_the_root_alone_loads_not_even_numpy() -> None:
    loaded = loaded_after("import flwr")
    assert "numpy" not in loaded
    ours = {name for name in loaded if name.startswith("flwr")}
    assert ours == {"flwr", "flwr._elsewhere", "flwr._version"}


def test_submodules_of_the_root_load_when_they_are_used() -> None:
    loaded = loaded_after("import flwr as fl\nfl.app.ArrayRecord, fl.serverapp.strategy.FedAvg")
    assert {"flwr.app", "flwr.serverapp.strategy"} <= loaded


def test_legacy_clients_load_nothing_of_the_servers_half() -> None:
    loaded = loaded_after("from flwr.client import ClientApp, NumPyClient; import flwr.common")
    assert not {name for name in loaded if name.startswith(("flwr.serverapp", "flwr.transport"))}


def test_the_version_flag_loads_no_command_line_library() -> None:
    loaded = loaded_after(
        "sys.argv = ['flwr', '--version']\nfrom flwr.cli.entry import main\n"
        "try: main()\nexcept SystemExit: pass"
    )
    assert loaded.isdisjoint({"typer", "rich", "sqlalchemy", "numpy"})
