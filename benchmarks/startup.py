"""What starting costs: imports and commands, in fresh processes of this interpreter.

Prints one JSON object, in milliseconds. `flwr ls` is that of runs on this machine. Where an
implementation starts a server of its own for that, it is there before the measurement begins, and
is ended at the end.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def milliseconds(command: list[str], runs: int, home: Path) -> float:
    """Return the median duration of a command, after one run to warm the file cache."""
    environment = {
        **os.environ, "FLWR_HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1",
    }  # fmt: skip
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run(
            command, check=True, cwd=home, env=environment, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:]) * 1e3


def end_servers(home: Path) -> None:
    """End the processes that commands have left behind: those with this ``FLWR_HOME``."""
    mark = f"FLWR_HOME={home}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGTERM)
        except OSError:
            continue


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--runs", type=int, default=5)

if __name__ == "__main__":
    args = parser.parse_args()
    python = [sys.executable, "-c"]
    flwr = str(Path(sys.executable).parent / "flwr")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        numpy = milliseconds([*python, "import numpy"], args.runs, home)
        app = milliseconds([*python, "import flwr.app"], args.runs, home)
        figures = {
            "import_app_ms": app - numpy,
            "version_ms": milliseconds([flwr, "--version"], args.runs, home),
            "help_ms": milliseconds([flwr, "--help"], args.runs, home),
        }
        try:
            figures["ls_ms"] = milliseconds([flwr, "ls"], args.runs, home)
        finally:
            end_servers(home)
    print(json.dumps(figures))
