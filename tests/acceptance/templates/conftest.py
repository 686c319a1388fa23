"""Programs in processes of their own, with an empty ``FLWR_HOME`` and working folder."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Return the working folder."""
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


@pytest.fixture
def run(tmp_path: Path, work: Path) -> Run:
    """Return a function that runs a program of this environment to its end."""
    environment = {
        **os.environ,
        "FLWR_HOME": str(tmp_path / "home"),
        "HF_HUB_OFFLINE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    def run(program: str, *arguments: str, folder: str = ".") -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [Path(sys.executable).with_name(program), *arguments],
            cwd=work / folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )

    return run
