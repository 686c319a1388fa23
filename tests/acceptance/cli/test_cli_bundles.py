"""``flwr build`` and ``flwr install``: what a user makes, gets, and is told."""

import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_apps import PROJECT, Flwr, write_app
from schemas import checked
from typer.testing import CliRunner, Result

from flwr.cli.commands import app as tree


class Here:
    """Commands in this process: a home and a working folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"

    def __call__(self, *words: str | Path, code: int = 0) -> Result:
        ended = CliRunner().invoke(tree, [str(word) for word in words])
        assert ended.exit_code == code, ended.output
        return ended

    def build(self) -> Path:
        """Make the FAB of the app in the folder ``tiny``."""
        self("build", "--app", "tiny")
        (made,) = self.folder.glob("*.fab")
        return made


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    write_app(tmp_path / "tiny", project=PROJECT)
    return Here(tmp_path)


# -- build


def test_what_is_built_and_what_is_not_is_told(here: Here) -> None:
    (here.folder / "tiny" / "data.csv").write_text("1")
    ended = here("build", "--app", "tiny")
    (made,) = here.folder.glob("*.fab")
    assert f"Successfully built {made.name} (4 files" in ended.stdout
    assert "  data.csv: not of a kind that FABs hold" in ended.stdout
    assert "pyproject.toml should have 'description' and 'license'" in ended.stderr
    assert zipfile.ZipFile(made).namelist()[0] == "pyproject.toml"


def test_building_leaves_the_app_as_it_is_and_can_be_repeated(here: Here) -> None:
    app = here.folder / "tiny"
    before = {path: path.read_bytes() for path in app.rglob("*") if path.is_file()}
    first = here.build().read_bytes()
    assert here.build().read_bytes() == first
    assert {path: path.read_bytes() for path in app.rglob("*") if path.is_file()} == before


def test_build_in_json(here: Here) -> None:
    told = checked("build", here("build", "--app", "tiny", "--format", "json").stdout, success=True)
    assert told["files"][0] == "pyproject.toml"
    assert Path(told["path"]).name == told["fab-filename"]
    assert told["fab-hash"].startswith(told["fab-filename"].split(".")[-2])
    assert told["missing"] == ["description", "license"]


def test_an_app_that_is_none_is_not_built(here: Here) -> None:
    assert "There is no pyproject.toml in" in here("build", "--app", "nowhere", code=1).stderr
    assert "There is no pyproject.toml in" in here("build", code=1).stderr
    assert not list(here.folder.glob("*.fab"))


def test_a_place_that_cannot_be_written_is_told(here: Here) -> None:
    made = here.build()
    made.unlink()
    made.mkdir()
    (made / "in-the-way").touch()
    ended = here("build", "--app", "tiny", code=1)
    assert "The FAB cannot be written to" in ended.stderr
    assert not list(here.folder.glob(".*part"))


# -- install


def test_an_installed_app_runs(flwr: Flwr, app: Callable[..., Path]) -> None:
    assert flwr("build", "--app", app(project=PROJECT)).code == 0
    (made,) = flwr.work.glob("*.fab")
    told = checked("install", flwr("install", made.name, "--format", "json").out, success=True)
    folder = Path(told["app-dir"])
    assert folder.name == f"tester.tiny.1.2.3.{told['fab-hash'][:8]}"
    assert folder.parent == flwr.home / "apps"
    options = ["--federation-config", "num-supernodes=2", "-c", "num-server-rounds=1"]
    assert flwr("run", folder, *options).code == 0


def test_installing_again_changes_nothing_unless_it_is_asked_for(here: Here) -> None:
    made = here.build()
    first = here("install", made)
    assert "Successfully installed tiny to " in first.stdout
    folder = Path(first.stdout.splitlines()[0].removesuffix(".").rpartition(" to ")[2])
    assert "Nothing was changed" in here("install", made).stdout
    (folder / "tiny" / "client_app.py").write_text("app = None\n")
    refused = here("install", made, code=1)
    assert "these files were changed since: 'tiny/client_app.py'" in refused.stderr
    assert "--yes" in refused.stderr
    assert (folder / "tiny" / "client_app.py").read_text() == "app = None\n"
    told = checked("install", here("install", made, "-y", "--format", "json").stdout, success=True)
    assert told["installed"] is True
    assert (folder / "tiny" / "client_app.py").read_text() != "app = None\n"
    assert list((here.home / "apps").iterdir()) == [folder]


@pytest.mark.parametrize(("answer", "said"), [("y\n", "Successfully"), ("n\n", "Nothing was")])
def test_on_a_terminal_the_user_is_asked(
    here: Here, monkeypatch: pytest.MonkeyPatch, answer: str, said: str
) -> None:
    made = here.build()
    here("install", made)
    monkeypatch.setattr("flwr.cli.install._may_ask", lambda: True)
    ended = CliRunner().invoke(tree, ["install"], input=f"{made}\n{answer}")
    assert ended.exit_code == 0
    assert "tiny 1.2.3 is already installed in" in ended.stdout
    assert said in ended.stdout


def test_another_folder_can_be_given(here: Here) -> None:
    here("install", here.build(), "--flwr-dir", "elsewhere")
    assert list((here.folder / "elsewhere" / "apps").iterdir())
    assert not (here.home / "apps").exists()


def test_what_is_no_fab_is_refused(here: Here) -> None:
    made = here.build()
    shutil.copy(made, "app.zip")
    cases = {
        "nowhere.fab": "there is no such file",
        "tiny": "it is a folder",
        "app.zip": "its name does not end with '.fab'",
    }
    for source, why in cases.items():
        assert why in here("install", source, code=1).stderr
    assert "No FAB is given" in here("install", code=1).stderr


def test_a_name_that_does_not_fit_is_refused(here: Here) -> None:
    made = here.build()
    renamed = here.folder / "tester.tiny.1-2-3.00000000.fab"
    shutil.copy(made, renamed)
    assert "not the FAB that its name says" in here("install", renamed, code=1).stderr
    for name in ("tiny.fab", made.name.replace("tester", "other"), f"a.{made.name}"):
        shutil.copy(made, name)
        ended = here("install", name, code=1)
        assert f"'{name}' is no name for this FAB" in ended.stderr
        assert f"What is inside is called: {made.name}" in ended.stderr


def test_an_altered_fab_is_refused(here: Here) -> None:
    made = here.build()
    files = {name: zipfile.ZipFile(made).read(name) for name in zipfile.ZipFile(made).namelist()}
    files["tiny/client_app.py"] += b"# altered"
    with zipfile.ZipFile(made, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    ended = here("install", made, "--format", "json", code=1)
    told = checked("install", ended.stdout, success=False)
    assert told["error"]["code"] == "fab"
    assert "'tiny/client_app.py' was altered" in told["error"]["message"]
    made.write_bytes(b"PK")
    assert "no ZIP archive" in here("install", made, code=1).stderr
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("../out.py", "")
    assert "escapes the app's folder" in here("install", made, code=1).stderr
    assert not (here.home / "apps").exists()


# -- what commands leave behind


def test_git_sees_nothing_of_a_run(flwr: Flwr, app: Callable[..., Path]) -> None:
    folder = app()
    git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.com"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *words], check=True)
    before = (folder / "pyproject.toml").read_bytes()
    assert flwr("run", folder, "pair", "-c", "num-server-rounds=1").code == 0
    (run,) = json.loads(flwr("ls", "--format", "json").out)["runs"]
    flwr("ls", folder, "pair", "--runs")
    flwr("log", run["run-id"], folder, "pair")
    flwr("federation", "list", folder, "pair")
    status = subprocess.run([*git, "status", "--porcelain"], check=True, capture_output=True)
    assert status.stdout == b""
    assert (folder / "pyproject.toml").read_bytes() == before
