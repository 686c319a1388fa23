"""What starting costs: imports and `flwr --version`, in fresh processes of this interpreter.

Prints one JSON object, in milliseconds.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path


def milliseconds(command: list[str], runs: int) -> float:
    """Return the median duration of a command, after one run to warm the file cache."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:]) * 1e3


parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--runs", type=int, default=5)

if __name__ == "__main__":
    args = parser.parse_args()
    python = [sys.executable, "-c"]
    numpy = milliseconds([*python, "import numpy"], args.runs)
    app = milliseconds([*python, "import flwr.app"], args.runs)
    flwr = str(Path(sys.executable).parent / "flwr")
    figures = {
        "import_app_ms": app - numpy,
        "version_ms": milliseconds([flwr, "--version"], args.runs),
    }
    print(json.dumps(figures))
