"""What every template writes, whether it can run here or not."""

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flwr.cli.frameworks import FRAMEWORKS, write_app
from flwr.config import read_app
from flwr.runtime.fabbuild import build

ROOT = Path(__file__).parents[3]
ALL = [(f.name, about) for f in FRAMEWORKS.values() for about in f.challenges or ("GeneralNLP",)]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def apps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("apps")
    for framework, about in ALL:
        write_app(folder / f"{framework}-{about}", framework, "ada", about)
    return folder


@pytest.mark.parametrize(("framework", "about"), ALL)
def test_an_app_is_whole(apps: Path, framework: str, about: str) -> None:
    folder = apps / f"{framework}-{about}"
    app = read_app(folder)
    assert app.fab_id == f"ada/{framework}-{about}"
    assert "dataset" in app.run_config
    for name in (".gitignore", "README.md", "tests/conftest.py"):
        assert (folder / name).is_file()
    for file in folder.rglob("*"):
        if file.is_file() and file.name != "LICENSE":
            assert "$" not in file.read_text(encoding="utf-8"), file
        if file.suffix == ".py":
            compile(file.read_text(encoding="utf-8"), str(file), "exec")


@pytest.mark.parametrize(("framework", "about"), ALL)
def test_a_bundle_has_all_that_the_app_needs(apps: Path, framework: str, about: str) -> None:
    folder = apps / f"{framework}-{about}"
    package = f"{framework}_{about}"
    needed = {f"{package}/{file.name}" for file in (folder / package).iterdir()}
    fab = build(folder)
    assert needed <= set(fab.files)
    assert not [left.path for left in fab.left_out if not left.path.startswith((".git", "tests"))]


def test_all_are_clean(apps: Path, run: Run) -> None:
    config = str(ROOT / "examples" / "ruff.toml")
    quiet = ("--no-cache", "--config", config, "--config", f"src=['{apps}/*']")
    checked = run("ruff", "check", *quiet, "--ignore", "D,S,T20,N999", str(apps))
    assert checked.returncode == 0, checked.stdout
    formatted = run("ruff", "format", "--check", *quiet, str(apps))
    assert formatted.returncode == 0, formatted.stdout


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("pytorch", "PyTorch"),
        ("TENSORFLOW", "TensorFlow"),
        ("scikit-learn", "sklearn"),
        ("Flower Baseline", "Baseline"),
        ("Hugging Face", "HuggingFace"),
        ("flowertune", "FlowerTune"),
    ],
)
def test_names_are_taken_as_they_come(run: Run, given: str, name: str) -> None:
    made = run("flwr", "new", "my-app", "--framework", given)
    assert made.returncode == 0, made.stderr
    assert f"Created the {name} app" in made.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("my-app", "--framework", "pytroch"), "did you mean 'PyTorch'?"),
        (("my-app", "--framework", "FlowerTune", "--challenge", "finanse"), "mean 'Finance'?"),
        (("my-app", "--framework", "NumPy", "--challenge", "Code"), "for FlowerTune"),
        (("my-app",), "No framework is given"),
        (("torch", "--framework", "PyTorch"), "would hide the Python module"),
        (("@flwrlabs/quickstart-pytorch",), "flwr new quickstart-pytorch --framework PyTorch"),
        (("@ada/app==1.0.0",), "flwr new my-app --framework NumPy"),
    ],
)
def test_what_cannot_be_made(run: Run, arguments: tuple[str, ...], told: str) -> None:
    made = run("flwr", "new", *arguments)
    assert made.returncode == 1
    words = " ".join(made.stderr.replace("│", " ").split())
    assert told in words
    assert not made.stdout


def test_the_challenge_decides_the_texts(run: Run, work: Path) -> None:
    run("flwr", "new", "a", "--framework", "FlowerTune", "--challenge", "code")
    assert "python" in (work / "a" / "a" / "instructions.jsonl").read_text().lower()
    assert "flwrlabs/code-alpaca-20k" in (work / "a" / "README.md").read_text()


def test_menus_on_a_terminal(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    command = [Path(sys.executable).with_name("flwr"), "new", "tuned"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=slave, stdout=slave, stderr=slave, close_fds=True
    ) as process:
        os.close(slave)
        os.write(master, b"12\n4\n")  # FlowerTune, Medical
        shown = b""
        while b"flwr run ." not in shown:
            try:
                shown += os.read(master, 4096)
            except OSError:  # the other side is closed
                break
    os.close(master)
    assert process.returncode == 0, shown
    assert b"Created the FlowerTune app" in shown
    assert "blood" in (tmp_path / "tuned" / "tuned" / "instructions.jsonl").read_text()
