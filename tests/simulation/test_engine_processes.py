"""The engine in processes of its own: scripts, interruption, sudden death, determinism."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

HERE = Path(__file__).parent

TRAINING = """
import hashlib, random, sys
import numpy as np
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

client, server = ClientApp(), ServerApp()

@client.train()
def train(message, context):
    rng = np.random.default_rng(context.node_config["partition-id"])
    arrays = [a + rng.standard_normal(a.shape, dtype=np.float32) * np.float32(random.random())
              for a in message.content["arrays"].to_numpy_ndarrays()]
    loss = float(abs(arrays[0]).mean())
    metrics = MetricRecord({"num-examples": int(rng.integers(1, 99)), "loss": loss})
    content = RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics})
    return Message(content, reply_to=message)

@server.main()
def main(grid, context):
    random.seed(1)
    strategy = FedAvg(fraction_train=0.5, fraction_evaluate=0.0)
    model = ArrayRecord([np.zeros((200, 300), np.float32), np.zeros(7, np.float32)])
    result = strategy.start(grid, model, num_rounds=3)
    digest = hashlib.sha256(b"".join(a.tobytes() for a in result.arrays.to_numpy_ndarrays()))
    print("HASH", digest.hexdigest(), result.train_metrics_clientapp[3]["loss"])

run_simulation(server, client, num_supernodes=70,
               backend_config={"init_args": {"num_cpus": int(sys.argv[1])},
                               "debug": sys.argv[1] == "0"})
"""

SLEEPING = """
import os, sys, threading
from flwr.app import Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.simulation import run_simulation

client, server = ClientApp(), ServerApp()

@client.query()
def query(message, context):
    os.write(1, f"CLIENT {os.getpid()}\\n".encode())
    threading.Event().wait(100)
    return Message(RecordDict(), reply_to=message)

@server.main()
def main(grid, context):
    grid.send_and_receive([Message(RecordDict(), n, "query") for n in grid.get_node_ids()])

run_simulation(server, client, num_supernodes=4, backend_config={"init_args": {"num_cpus": 2}})
"""


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    folder = tmp_path / "temporary"
    folder.mkdir(exist_ok=True)
    return {**os.environ, "TMPDIR": str(folder), **more}


def run_script(tmp_path: Path, text: str, *arguments: str, **more: str) -> str:
    script = tmp_path / "script.py"
    script.write_text(text)
    done = subprocess.run(
        [sys.executable, script, *arguments],
        env=environment(tmp_path, **more),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_equal_bits_for_any_worker_count_and_hash_seed(tmp_path: Path) -> None:
    outputs = {
        (workers, seed): run_script(tmp_path, TRAINING, workers, PYTHONHASHSEED=seed)
        for workers, seed in [("1", "1"), ("2", "2"), ("4", "3"), ("2", "4"), ("0", "5")]
    }
    lines = {text.strip().splitlines()[-1] for text in outputs.values()}
    assert len(lines) == 1, outputs
    assert lines.pop().startswith("HASH ")


def started(tmp_path: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """Start the sleeping simulation and wait until two clients sleep in it."""
    script = tmp_path / "script.py"
    script.write_text(SLEEPING)
    with (tmp_path / "stderr.txt").open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, script],
            env=environment(tmp_path),
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            start_new_session=True,
        )
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(2)]
    assert all(lines), (tmp_path / "stderr.txt").read_text()
    return process, [int(line.split()[1]) for line in lines]


def alive(pids: list[int]) -> list[int]:
    found = []
    for pid in pids:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if state != "Z":
            found.append(pid)
    return found


def descendants(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_survives_the_run(tmp_path: Path, how: signal.Signals) -> None:
    process, workers = started(tmp_path)
    tree = descendants(process.pid)
    assert set(workers) < set(tree)  # the zygote is there too
    began = time.monotonic()
    os.killpg(process.pid, how) if how == signal.SIGINT else process.send_signal(how)
    process.wait(20)
    deadline = began + 20  # a guard against hanging; in practice it takes milliseconds
    while alive(tree) and time.monotonic() < deadline:
        os.sched_yield()
    assert alive(tree) == []
    assert list((tmp_path / "temporary").iterdir()) == []
    assert process.stdout is not None
    process.stdout.close()


def test_a_cell_without_a_file_works(tmp_path: Path) -> None:
    """As in a notebook: the apps live in ``__main__``, and there is no file to import."""
    done = subprocess.run(
        [sys.executable, "-", "2"],
        input=TRAINING,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "HASH" in done.stdout, done.stderr


def test_a_breakpoint_in_client_code_is_usable_in_debug_mode(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(TRAINING.replace("    rng = np", "    breakpoint()\n    rng = np", 1))
    done = subprocess.run(
        [sys.executable, script, "0"],
        input="p message.metadata.message_type\nimport sys; sys.breakpointhook = lambda: None\nc\n",
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert "'train'" in done.stdout
    assert "HASH" in done.stdout, done.stderr


def test_an_idle_worker_that_is_killed_does_not_stop_the_run(tmp_path: Path) -> None:
    text = TRAINING.replace(
        "    result = strategy",
        """    import os, signal
    children = lambda pid: open(f'/proc/{pid}/task/{pid}/children').read().split()
    class Killing(FedAvg):
        def configure_train(self, server_round, *rest):
            if server_round == 2:
                (zygote,) = children(os.getpid())
                os.kill(int(children(zygote)[0]), signal.SIGKILL)
            return super().configure_train(server_round, *rest)
    strategy = Killing(fraction_train=0.5, fraction_evaluate=0.0)
    result = strategy""",
        1,
    )
    assert "HASH" in run_script(tmp_path, text, "2")
