"""A model of some gigabytes with one node: `make large`.

``FLWR_LARGE_MIB`` sets its size. Five times as much memory is needed, for ServerApp and ClientApp.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from deployed import PROJECT, Deployment

MIB = int(os.environ.get("FLWR_LARGE_MIB", "4096"))
HUB_MIB = 150  # whatever the model's size

SERVER = """
import numpy as np
from flwr.app import ArrayRecord, Message, RecordDict
from flwr.serverapp import ServerApp

app = ServerApp()

@app.main()
def main(grid, context):
    size = context.run_config["mib"] << 18
    content = RecordDict({"arrays": ArrayRecord([np.zeros(size, np.float32)])})
    (node,) = grid.get_node_ids()
    (reply,) = grid.send_and_receive([Message(content, dst_node_id=node, message_type="train")])
    (array,) = reply.content["arrays"].values()
    values = array.numpy()
    print("learned", values.size, float(values.min()), float(values.max()))
"""

CLIENT = """
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()

@app.train()
def train(msg, context):
    (array,) = msg.content["arrays"].to_numpy_ndarrays()
    array += 1
    metrics = MetricRecord({"num-examples": 1})
    return Message(RecordDict({"arrays": ArrayRecord([array]), "metrics": metrics}), reply_to=msg)
"""


class Peak(threading.Thread):
    """Watches the memory of processes; what they share is divided among them."""

    def __init__(self, processes: Callable[[], list[psutil.Process]]) -> None:
        super().__init__(daemon=True)
        self._processes = processes
        self._over = threading.Event()
        self.mib: dict[str, int] = {}

    def run(self) -> None:
        while not self._over.wait(0.2):
            for process in self._processes():
                try:
                    memory = process.memory_full_info()
                    command = process.cmdline()
                except psutil.Error:
                    continue
                name = next(
                    (part for part in command[1:] if "flwr" in part or "flower" in part), ""
                )
                name = f"{Path(name).name} {process.pid}"
                anonymous = (
                    memory.uss if name.startswith("flower-superlink") else memory.pss
                ) >> 20
                self.mib[name] = max(self.mib.get(name, 0), anonymous)

    def end(self) -> None:
        self._over.set()
        self.join()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_large_model_with_one_node(deploy: Callable[..., Deployment], tmp_path: Path) -> None:
    deployment = deploy(1, database=True)
    folder = tmp_path / "large"
    (folder / "tiny").mkdir(parents=True)
    (folder / "tiny" / "__init__.py").touch()
    (folder / "tiny" / "server_app.py").write_text(SERVER)
    (folder / "tiny" / "client_app.py").write_text(CLIENT)
    (folder / "pyproject.toml").write_text(f"{PROJECT}mib = {MIB}\n")
    peak = Peak(deployment.processes)
    peak.start()
    ended = deployment.flwr("run", folder, "hub", "--stream", seconds=1700.0)
    peak.end()
    assert ended.code == 0, (ended, peak.mib)
    assert f"learned {MIB << 18} 1.0 1.0" in ended.out
    (hub,) = [mib for name, mib in peak.mib.items() if name.startswith("flower-superlink")]
    assert hub <= HUB_MIB
    assert deployment.database is not None
    left = [file for file in Path(f"{deployment.database}.blobs").rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in left) < 1 << 20
