"""Write what the apps of the matrix make with upstream Flower into data/.

    PYTHON-OF-UPSTREAM tests/compat/take_outputs.py [APP ...]

It needs flwr[simulation]==1.41.0, and the versions of scikit-learn, torch and xgboost that the
tests use. Each app runs in a process of its own. By default all of them.
"""

import importlib.metadata
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
HELPERS = {"keeping", "tasks", "nets", "starting"}
NAMES = sorted({path.stem for path in (HERE / "matrix").glob("*.py")} - HELPERS)
LIBRARIES = ["flwr", "numpy", "scikit-learn", "torch", "xgboost-cpu"]


def take(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "outcome.json"
        search = os.pathsep.join([str(HERE / "matrix"), os.environ.get("PYTHONPATH", "")])
        done = subprocess.run(
            [sys.executable, HERE / "outcome.py", name, result],
            env={
                **os.environ,
                "PYTHONPATH": search,
                "FLWR_HOME": folder,
                "FLWR_TELEMETRY_ENABLED": "0",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"{name} failed:\n{done.stdout[-3000:]}\n{done.stderr[-6000:]}")
        outcome: dict[str, Any] = json.loads(result.read_text())
    made_with = {library: importlib.metadata.version(library) for library in LIBRARIES}
    text = json.dumps({"made_with": made_with, **outcome}, indent=1)
    (HERE / "data" / f"{name}.json").write_text(text + "\n")
    sys.stdout.write(f"{name}\n")


if __name__ == "__main__":
    for each in sys.argv[1:] or NAMES:
        take(each)
