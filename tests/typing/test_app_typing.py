import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parent / "app_examples.py"


def test_mypy_accepts_what_users_write_and_refuses_what_it_must():
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(EXAMPLES)],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
        cwd=EXAMPLES.parent.parent.parent,
    )
    assert done.returncode == 0, done.stdout + done.stderr
