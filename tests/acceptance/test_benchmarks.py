"""The benchmarks run and print what they promise; how fast they are is not asked."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def output_of(script: str, *arguments: str) -> str:
    command = [sys.executable, str(BENCHMARKS / script), *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("simulation.py", ["--nodes", "6", "--per-round", "3", "--rounds", "3"]),
        ("parcels.py", ["--values", "1000", "--runs", "1"]),
        ("reducer.py", ["--replies", "3", "--values", "1000", "--runs", "1"]),
        ("bench_strategies.py", ["--replies", "3", "--values", "1000", "--runs", "1"]),
        ("bench_robust.py", ["--replies", "7", "--values", "1000", "--malicious", "1"]),
        ("bench_trees.py", ["--nodes", "2", "--rounds", "2"]),
        pytest.param("durable_messages.py", ["--scale", "0.01"], marks=pytest.mark.slow),
        pytest.param(
            "exchange_latency.py", ["--exchanges", "20", "--idle", "0"], marks=pytest.mark.slow
        ),
        pytest.param("many_nodes.py", ["200", "--rounds", "3"], marks=pytest.mark.slow),
        ("startup.py", ["--runs", "1"]),
    ],
)
def test_script_prints_positive_figures_as_json(script: str, arguments: list[str]) -> None:
    figures = json.loads(output_of(script, *arguments))
    assert figures
    assert all(value > 0 for name, value in figures.items() if name != "import_app_ms")


def test_driver_prints_a_table_with_a_column_for_upstream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UPSTREAM_PYTHON", sys.executable)
    header, _, *rows = output_of("run.py", "startup").splitlines()
    assert header == "| case | figure | unit | here | upstream | times better |"
    assert [row.split(" | ")[1] for row in rows] == [
        "import flwr.app, beyond NumPy",
        "flwr --version",
        "flwr --help",
        "flwr ls, of this machine",
    ]
    assert all(cell.strip() for row in rows for cell in row.strip("|").split("|"))
