"""An app's ``pyproject.toml``, good and bad."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flwr.config import SimulationOptions, read_app
from flwr.errors import ConfigError

GOOD = """
[project]
name = "my-app"
version = "1.0.0"

[tool.flwr.app]
publisher = "me"
display-name = "My app"
fab-include = ["pkg/*.py"]

[tool.flwr.app.components]
serverapp = "pkg.server_app:app"
clientapp = "pkg.client_app:app"

[tool.flwr.app.config]
num-server-rounds = 3
model.name = "mlp"
optimizer = { lr = 0.1 }

[tool.flwr.federations]
default = "local-simulation"

[tool.flwr.federations.local-simulation]
options.num-supernodes = 7
options.backend.name = "ray"
options.backend.client-resources.num-cpus = 2
options.backend.client-resources.num-gpus = 0.25
options.backend.init-args.num-cpus = 4

[tool.flwr.federations.remote]
address = "host:9093"
root-certificates = "certs/ca.crt"
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Return a function that writes an app with the given project file."""

    def write(text: str) -> Path:
        package = tmp_path / "pkg"
        package.mkdir(exist_ok=True)
        (package / "__init__.py").touch()
        for module in ("server_app", "client_app"):
            (package / f"{module}.py").write_text("app = object()\n")
        (tmp_path / "pyproject.toml").write_text(text)
        return tmp_path

    return write


def problems(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_app(folder)
    return str(caught.value)


def test_a_good_file(write: Callable[[str], Path]) -> None:
    app = read_app(write(GOOD))
    assert (app.name, app.version, app.publisher, app.fab_id) == (
        "my-app",
        "1.0.0",
        "me",
        "me/my-app",
    )
    assert app.run_config == {"num-server-rounds": 3, "model.name": "mlp", "optimizer.lr": 0.1}
    assert app.default_federation == "local-simulation"
    simulation = app.federations["local-simulation"]
    assert simulation.address is None
    assert simulation.options == SimulationOptions(
        num_supernodes=7, num_cpus=2, num_gpus=0.25, init_args={"num_cpus": 4}, configured=True
    )
    assert app.federations["remote"].address == "host:9093"
    assert app.federations["remote"].root_certificates == app.app_dir / "certs/ca.crt"


def test_keys_of_other_versions_are_taken(write: Callable[[str], Path]) -> None:
    keys = 'color = "teal"\nfab-format-version = 1\nflwr-version-target = "1.41.0"\n'
    text = GOOD.replace("display-name", keys + "display-name")
    text = text.replace("clientapp =", 'agentapp = "pkg.nowhere:agent"\nclientapp =')
    assert read_app(write(text)).clientapp == "pkg.client_app:app"


def test_config_and_federations_are_optional(write: Callable[[str], Path]) -> None:
    app = read_app(write(GOOD.partition("[tool.flwr.app.config]")[0]))
    assert app.run_config == {}
    assert app.federations == {}
    assert app.default_federation is None


def test_all_problems_are_listed_with_line_and_key(write: Callable[[str], Path]) -> None:
    folder = write(
        GOOD.replace('name = "my-app"', 'name = "9 lives"')
        .replace("publisher", "publsher")
        .replace('serverapp = "pkg.server_app:app"', 'serverapp = "pkg.servr_app:app"')
        .replace("num-server-rounds = 3", "num-server-rounds = [3]")
        .replace("num-supernodes = 7", "num-supernodes = 0")
    )
    text = problems(folder)
    assert str(folder / "pyproject.toml") in text
    for expected in (
        "line 3, project.name: '9 lives' must start with a letter",
        "line 7, tool.flwr.app.publsher: 'publisher' is missing; found 'publsher'",
        "line 12, tool.flwr.app.components.serverapp: there is no module 'pkg.servr_app'",
        "did you mean 'pkg.server_app'?",
        "line 16, tool.flwr.app.config.num-server-rounds: must be a bool, int, float or text",
        "num-supernodes: must be an integer of at least 1; it is 0",
    ):
        assert expected in text


@pytest.mark.parametrize(
    ("good", "bad", "expected"),
    [
        ('version = "1.0.0"', 'dynamic = ["version"]', "'version' must be written out"),
        ('version = "1.0.0"', "version = 1", "project.version: must be a text"),
        ('version = "1.0.0"', "", "project.version: 'version' is missing"),
        ("[tool.flwr.app]", "[tool.flwr.apps]", "'publisher' is missing"),
        ("[tool.flwr.app.components]", "[tool.flwr.components]", "'serverapp' is missing"),
        ("num-server-rounds = 3", f"num-server-rounds = {2**64}", "at most 64 bits"),
        ("options.num-supernodes = 7", "num-supernodes = 7", "write 'options.num-supernodes'"),
        ("options.num-supernodes = 7", "root-certs = 'x'", "did you mean 'root-certificates'?"),
        ("pkg.client_app:app", "pkg.client_app:ap", "defines no 'ap'; did you mean 'app'?"),
        ("pkg.client_app:app", "pkg/client_app.py", "<module>:<attribute>"),
        ("fab-include", "fab-inclde", "unknown key; did you mean 'fab-include'?"),
        ('name = "ray"', 'name = "dask"', "there is no backend 'dask'"),
        ("num-gpus = 0.25", "num-gpus = -1", "must be a number of at least 0"),
        (
            "client-resources.num-cpus = 2",
            "client-resources.num-cpu = 2",
            "did you mean 'client-resources-num-cpus'?",
        ),
        (
            'default = "local-simulation"',
            'default = "local-sim"',
            "there is no federation 'local-sim'; did you mean 'local-simulation'?",
        ),
        ('address = "host:9093"', "address = 9093", "address: must be a text"),
        ('display-name = "My app"', "color = 3", "color: must be a text; it is 3"),
        ("serverapp =", "servrapp =", "did you mean 'serverapp'?"),
        ("serverapp =", "agentapp =", "agentapp: an app without 'serverapp' does not run here"),
        ("[tool.flwr.app.config]", "[tool.flwr.app.configs]", "did you mean 'config'?"),
    ],
)
def test_each_problem_is_told(
    write: Callable[[str], Path], good: str, bad: str, expected: str
) -> None:
    assert good in GOOD
    text = problems(write(GOOD.replace(good, bad)))
    assert expected in text
    assert "line " in text or "missing" in text


def test_tables_that_are_no_tables_are_told(write: Callable[[str], Path]) -> None:
    assert "tool.flwr.app: must be a table" in problems(write("[tool.flwr]\napp = 3\n"))
    assert "'name' is missing" in problems(write("project = 3\n"))


def test_text_that_is_no_toml_is_told_with_its_line(write: Callable[[str], Path]) -> None:
    assert "line 2: name = x" in problems(write("[project]\nname = x\n"))


def test_a_missing_file_or_folder_is_told(tmp_path: Path) -> None:
    assert "There is no pyproject.toml" in problems(tmp_path)
    assert "no such folder" in problems(tmp_path / "nowhere")


def test_a_module_that_does_not_parse_is_left_to_loading(write: Callable[[str], Path]) -> None:
    folder = write(GOOD)
    (folder / "pkg" / "client_app.py").write_text("def (:\n")
    assert read_app(folder).clientapp == "pkg.client_app:app"
