"""Templates whose framework is in the test environment: made, run and tested, offline."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def made(run: Run, framework: str) -> None:
    done = run("flwr", "new", "my-app", "--framework", framework, "--username", "ada")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("framework", "rounds"), [("PyTorch", 7), ("XGBoost", 10)]
)  # NumPy, sklearn: test_cli_course
def test_a_new_app_learns(run: Run, framework: str, rounds: int) -> None:
    made(run, framework)
    ran = run("flwr", "run", "my-app", "--format", "json", "-c", f"num-server-rounds={rounds}")
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout)
    assert (result["rounds"], result["failures"]) == (rounds, 0)
    assert result["metrics"]["server"]["accuracy"] >= 0.88
    assert [*Path(result["artifacts"]).glob("model.*")]


def test_a_new_app_adds_up_tables(run: Run) -> None:
    made(run, "pandas")
    ran = run("flwr", "run", "my-app", "--format", "json")
    assert ran.returncode == 0, ran.stderr
    assert "sepal length (cm)    120  5.830000" in ran.stderr
    assert (Path(json.loads(ran.stdout)["artifacts"]) / "summary.csv").is_file()


@pytest.mark.parametrize("framework", ["NumPy", "sklearn", "PyTorch", "XGBoost", "pandas"])
def test_the_tests_of_a_new_app_pass(run: Run, framework: str) -> None:
    made(run, framework)
    tested = run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", folder="my-app")
    assert tested.returncode == 0, tested.stdout


def test_a_missing_framework_ends_the_run_at_once(run: Run, work: Path) -> None:
    made(run, "MLX")
    (work / "my-app" / "mlx.py").write_text("raise ModuleNotFoundError(name='mlx')\n")
    ran = run("flwr", "run", "my-app")
    assert ran.returncode != 0
    assert "ModuleNotFoundError" in ran.stderr
    assert "pip install -e" in ran.stderr


HUB = '''
"""Stands for the package of that name: a hundred images, nothing is downloaded."""

import numpy as np

class Images:
    column_names = ["img", "label"]

    def __getitem__(self, column):
        if column == "label":
            return [number % 10 for number in range(100)]
        return [np.full((28, 28), number, np.uint8) for number in range(100)]

    def with_format(self, name):
        return self

def load_dataset(name, split):
    assert name == "ylecun/mnist"
    return Images()
'''


def test_another_data_set_is_one_setting(run: Run, work: Path) -> None:
    made(run, "NumPy")
    (work / "my-app" / "datasets.py").write_text(HUB.strip())
    ran = run("flwr", "run", "my-app", "-c", "dataset='mnist' num-server-rounds=1")
    assert ran.returncode == 0, ran.stderr
    assert "no failures" in ran.stdout
