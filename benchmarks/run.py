"""Run the benchmarks and print one table, next to upstream Flower where a Python with it is named.

    python benchmarks/run.py [--repeat N] [CASE ...]
    UPSTREAM_PYTHON=path/to/its/python python benchmarks/run.py

Each case is a script that prints figures as JSON. Scripts of the folder `../shared/bench` beside
the checkout are used when it is there.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SHARED = HERE.parents[1] / "shared" / "bench"


@dataclass(frozen=True)
class Figure:
    """One row: what it is, where it stands in a script's output, its unit."""

    label: str
    key: str
    unit: str
    more_is_better: bool = False


@dataclass(frozen=True)
class Case:
    """One script with its arguments and the figures to show of it."""

    script: str
    figures: tuple[Figure, ...]
    arguments: tuple[str, ...] = ()
    upstream: bool = True  # whether upstream can run it
    shared: bool = False  # a script of the shared folder: it is told the Python to measure


ROUND = Figure("a round", "s_per_round.median", "s")
FIRST = Figure("start to the end of round 1", "first_round_done_s", "s")
PEAK = Figure("memory of all processes", "peak_pss_mib", "MiB")
ROBUST = ("FedMedian", "FedTrimmedAvg", "Krum", "MultiKrum", "Bulyan")
LEGACY = ("FedAvg", "FedAvgM", "FedAdam", "FedMedian", "Krum", "QFedAvg")
STEPPING = ("FedAvg", "FedAvgM", "FedAdagrad", "FedAdam", "FedYogi", "QFedAvg")
CASES = {
    "100 nodes": Case(
        "simulation.py", (Figure("a round", "round_s", "s"), Figure("to round 1", "first_s", "s"))
    ),
    "1,000,000 nodes, 100 a round": Case(
        "simulation.py",
        (Figure("a round", "round_s", "s"), Figure("to round 1", "first_s", "s")),
        ("--nodes", "1000000"),
        upstream=False,
    ),
    "parcels": Case(
        "parcels.py",
        (
            Figure("write 100 MB", "write_gb_s", "GB/s", more_is_better=True),
            Figure("read 100 MB", "read_gb_s", "GB/s", more_is_better=True),
            Figure("(a plain copy)", "copy_gb_s", "GB/s", more_is_better=True),
            Figure("write 4 kB", "small_write_us", "us"),
            Figure("read 4 kB", "small_read_us", "us"),
        ),
        upstream=False,
    ),
    "reducer": Case(
        "reducer.py",
        (
            Figure("FedAvg of 20 x 10 MB", "fedavg_gb_s", "GB/s", more_is_better=True),
            Figure("(the same in NumPy)", "numpy_gb_s", "GB/s", more_is_better=True),
        ),
    ),
    "strategies": Case(
        "bench_strategies.py",
        tuple(
            figure
            for rule in STEPPING
            for figure in (
                Figure(
                    f"{rule} of 20 x 10 MB", f"{rule.lower()}_gb_s", "GB/s", more_is_better=True
                ),
                Figure(
                    "(the same in NumPy)", f"{rule.lower()}_numpy_gb_s", "GB/s", more_is_better=True
                ),
                Figure("peak memory beyond the replies", f"{rule.lower()}_models", "models"),
            )
        ),
        STEPPING,
    ),
    "robust": Case(
        "bench_robust.py",
        tuple(
            Figure(label, f"{rule.lower()}{key}", "GB/s", more_is_better=True)
            for rule in ROBUST
            for label, key in (
                (f"{rule} of 20 x 10 MB", "_gb_s"),
                ("(the same in NumPy)", "_numpy_gb_s"),
            )
        ),
    ),
    "legacy strategies": Case(
        "bench_legacy.py",
        tuple(
            figure
            for rule in LEGACY
            for figure in (
                Figure(
                    f"legacy {rule} of 20 x 10 MB",
                    f"{rule.lower()}_gb_s",
                    "GB/s",
                    more_is_better=True,
                ),
                Figure("(as many times as long as its twin)", f"{rule.lower()}_times", "x"),
            )
        ),
        LEGACY,
    ),
    "trees": Case(
        "bench_trees.py",
        (
            Figure("FedXgbBagging of 10 nodes, round 1", "first_ms", "ms"),
            Figure("FedXgbBagging of 10 nodes, round 30", "last_ms", "ms"),
        ),
    ),
    "durable messages": Case(
        "durable_messages.py",
        (
            *(
                Figure(label, f"{key}_{callers}", "/s", more_is_better=True)
                for callers, who in ((1, "1 caller"), (100, "100 callers"))
                for label, key in (
                    (f"messages taken from {who}, fsync each", "messages_per_s"),
                    (f"replies taken from {who}", "replies_per_s"),
                )
            ),
            Figure("(commits of bare SQLite)", "bare_commits_per_s", "/s", more_is_better=True),
        ),
        upstream=False,
    ),
    "exchange latency": Case(
        "exchange_latency.py",
        (
            Figure("send_and_receive to one node, median", "p50_ms", "ms"),
            Figure("the 99th percentile of it", "p99_ms", "ms"),
            Figure("an idle hub and two nodes", "idle_cpu_percent", "% CPU"),
            Figure("requests of an idle node", "idle_requests_per_node_minute", "/min"),
        ),
        upstream=False,
    ),
    "many nodes": Case(
        "many_nodes.py",
        tuple(
            Figure(f"{nodes} nodes: {label}", f"{key}_{nodes}", unit)
            for nodes in (1000, 9500)
            for label, key, unit in (
                ("connect", "connect_s", "s"),
                ("send to all, collect all", "all_s", "s"),
                ("hub's CPU for each of them", "hub_cpu_ms", "ms"),
                ("hub's memory", "hub_mib", "MiB"),
            )
        ),
        upstream=False,
    ),
    "startup": Case(
        "startup.py",
        (
            Figure("import flwr.app, beyond NumPy", "import_app_ms", "ms"),
            Figure("flwr --version", "version_ms", "ms"),
            Figure("flwr --help", "help_ms", "ms"),
            Figure("flwr ls, of this machine", "ls_ms", "ms"),
        ),
    ),
    "sim_small": Case("sim_small.py", (ROUND, FIRST, PEAK), ("--api", "message"), shared=True),
    "sim_small, legacy": Case(
        "sim_small.py", (ROUND, FIRST, PEAK), ("--api", "legacy"), shared=True
    ),
    "sim_large_model": Case("sim_large_model.py", (ROUND, PEAK), ("--api", "message"), shared=True),
    "sim_large_model, legacy": Case(
        "sim_large_model.py", (ROUND, PEAK), ("--api", "legacy"), shared=True
    ),
    "sim_many_nodes": Case(
        "sim_many_nodes.py", (ROUND, FIRST), ("--api", "message", "--nodes", "10000"), shared=True
    ),
    "aggregate": Case(
        "aggregate.py",
        (
            Figure("FedAvg of 50 x 40 MB", "strategy_gb_s", "GB/s", more_is_better=True),
            Figure("(the same in NumPy)", "numpy_blocked_gb_s", "GB/s", more_is_better=True),
        ),
        ("--api", "message"),
        shared=True,
    ),
    "aggregate, legacy": Case(
        "aggregate.py",
        (Figure("legacy FedAvg of 50 x 40 MB", "strategy_gb_s", "GB/s", more_is_better=True),),
        ("--api", "legacy"),
        shared=True,
    ),
    "run_start": Case(
        "run_start.py",
        (
            Figure("flwr run, to the end of round 1", "fresh.to_first_round_end_s", "s"),
            Figure("flwr run, to its exit", "fresh.command_exit_s", "s"),
        ),
        shared=True,
    ),
}


def measure(case: Case, python: str, repeat: int) -> dict[str, float]:
    """Run a case some times and return the median of each figure."""
    if case.shared:
        command = [sys.executable, str(SHARED / case.script), "--python", python]
    else:
        command = [python, str(HERE / case.script)]
    runs = []
    for _ in range(repeat):
        result = subprocess.run(
            [*command, *case.arguments], stdout=subprocess.PIPE, text=True, check=True
        )
        runs.append(json.loads(result.stdout.splitlines()[-1]))
    return {
        figure.key: statistics.median(at(run, figure.key) for run in runs)
        for figure in case.figures
    }


def at(output: dict[str, Any], key: str) -> float:
    """Return the figure at a dotted key."""
    for name in key.split("."):
        output = output[name]
    return float(output)  # type: ignore[arg-type]  # the last one is a number


def print_table(rows: list[tuple[str, Figure, float, float | None]]) -> None:
    """Print the table, in Markdown."""
    print("| case | figure | unit | here | upstream | times better |")
    print("| --- | --- | --- | ---: | ---: | ---: |")
    for name, figure, ours, theirs in rows:
        row = [name, figure.label, figure.unit, f"{ours:.3g}"]
        if theirs is None:
            row += ["", ""]
        else:
            ratio = ours / theirs if figure.more_is_better else theirs / ours
            row += [f"{theirs:.3g}", f"{ratio:.3g}"]
        print(f"| {' | '.join(row)} |")


def main() -> None:
    """Measure the cases asked for and print the table."""
    there = {name: case for name, case in CASES.items() if not case.shared or SHARED.is_dir()}
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(there))
    parser.add_argument(
        "--repeat", type=int, default=1, help="runs of each case; medians are shown"
    )
    args = parser.parse_args()
    if unknown := set(args.cases) - set(there):
        parser.error(f"no such case: {', '.join(sorted(unknown))}")
    upstream = os.environ.get("UPSTREAM_PYTHON")
    rows = []
    for name in args.cases or there:
        case = there[name]
        print(f"{name} ...", file=sys.stderr)
        ours = measure(case, sys.executable, args.repeat)
        theirs = measure(case, upstream, args.repeat) if upstream and case.upstream else {}
        rows += [
            (name, figure, ours[figure.key], theirs.get(figure.key)) for figure in case.figures
        ]
    print_table(rows)


if __name__ == "__main__":
    main()
