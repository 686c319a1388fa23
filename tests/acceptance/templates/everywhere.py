"""Make, run and test an app of each template, each in an environment of its own (`make templates`).

Names of templates as arguments choose some. An environment stays in .venv/templates, and is used
again. What could not be installed is named.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import venv
from dataclasses import dataclass
from pathlib import Path

from flwr.cli.frameworks import FRAMEWORKS, write_app

ROOT = Path(__file__).parents[3]
ENVIRONMENTS = ROOT / ".venv" / "templates"
LIMIT = 1800  # seconds of each step
PINNED = "torch==2.13.0\n"  # as in the test environment, so that one build serves all


@dataclass(frozen=True)
class Outcome:
    """What became of one template."""

    name: str
    told: str
    installed: bool
    passed: bool


def step(folder: Path, *command: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end, offline as far as the Hugging Face Hub goes."""
    environment = {**os.environ, "FLWR_HOME": str(folder / "home"), "HF_HUB_OFFLINE": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=LIMIT, check=False,
    )  # fmt: skip


def tried(name: str, folder: Path) -> Outcome:
    """Install what an app needs, run it and its tests."""
    environment = ENVIRONMENTS / name.lower()
    python, app = environment / "bin" / "python", folder / f"my-{name.lower()}"
    write_app(app, name, "ada")
    if not python.exists():
        venv.create(environment, with_pip=True)
    pins = folder / "pins.txt"
    pins.write_text(PINNED)
    pip = (python, "-m", "pip", "install", "--quiet", "--constraint", pins)
    installed = step(folder, *pip, "--editable", ROOT, "--editable", f"{app}[test]")
    if installed.returncode:
        last = (installed.stderr.strip().splitlines() or ["?"])[-1]
        return Outcome(name, f"not installed: {last}", installed=False, passed=False)
    start = time.monotonic()
    ran = step(folder, environment / "bin" / "flwr", "run", app, "--format", "json")
    seconds = time.monotonic() - start
    if ran.returncode:
        return Outcome(name, f"run failed:\n{ran.stdout}", installed=True, passed=False)
    tested = step(app, python, "-m", "pytest", "-q")
    metrics = json.loads(ran.stdout).get("metrics")
    told = f"run in {seconds:.0f} s, {metrics}"
    if tested.returncode:
        told += f"\nits tests failed:\n{tested.stdout}"
    return Outcome(name, told, installed=True, passed=tested.returncode == 0)


def main(chosen: list[str]) -> int:
    """Try templates and say what came of each; return an exit code."""
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="flwr-templates-") as folder:
        for name in chosen or FRAMEWORKS:
            outcome = tried(name, Path(folder))
            outcomes.append(outcome)
            print(f"{name}: {outcome.told}", flush=True)
    missing = [outcome.name for outcome in outcomes if not outcome.installed]
    failed = [outcome.name for outcome in outcomes if outcome.installed and not outcome.passed]
    print(f"NOT RUN, could not be installed: {', '.join(missing) or 'none'}")
    print(f"FAILED: {', '.join(failed) or 'none'}")
    return int(bool(failed) or len(missing) == len(outcomes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
