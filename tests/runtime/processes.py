"""ServerApps in processes of their own, as a launcher starts them."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

from app_hub import AppHub

from flwr.runtime.fabbuild import build

PYPROJECT = """
[project]
name = "app"
version = "1.0.0"

[tool.flwr.app]
publisher = "me"

[tool.flwr.app.components]
serverapp = "served:app"
clientapp = "served:client"

[tool.flwr.app.config]
rounds = 3
"""


def fab_of(folder: Path, code: str) -> bytes:
    """Make a FAB whose ServerApp is in `code`."""
    folder.mkdir()
    (folder / "pyproject.toml").write_text(PYPROJECT)
    client = "from flwr.clientapp import ClientApp\nclient = ClientApp()\n"
    (folder / "served.py").write_text(code + client)
    return build(folder).content


class Started:
    """An attempt that was started; what it prints goes to a file."""

    def __init__(self, process: "subprocess.Popen[bytes]", printed: Path) -> None:
        self.process = process
        self.printed = printed

    @property
    def output(self) -> str:
        return self.printed.read_text()

    def wait(self) -> int:
        """Return its exit status."""
        return self.process.wait(60)

    def has_printed(self, text: str) -> None:
        """Wait until it has."""
        for _ in range(1000):
            if text in self.output:
                return
            threading.Event().wait(0.02)
        raise TimeoutError(f"{text!r} is not in {self.output!r}")


def start(
    hub: AppHub,
    tmp_path: Path,
    module: str = "flwr.runtime.serverapp_process",
    **facts: object,
) -> Started:
    """Start an attempt as a launcher does."""
    printed = tmp_path / f"output-{hub.attempt}"
    reads, writes = os.pipe()
    with printed.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, "--launch-fd", str(reads)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            pass_fds=[reads],
            start_new_session=True,
            env={**os.environ, "FLWR_HOME": str(tmp_path / "home")},
        )
    os.close(reads)
    told = {"address": hub.address, "token": f"token-{hub.attempt}", "root_certificates": None}
    os.write(writes, json.dumps({**told, **facts}).encode())
    os.close(writes)
    return Started(process, printed)
