"""Starting the clients of an app whose server and clients are separate processes."""

import contextlib
import os
import socket
import subprocess
import sys
from pathlib import Path


@contextlib.contextmanager
def clients_of(file, count):
    """Start an app's file once for each client; yields the server's address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    here = str(Path(file).parent)
    search = os.pathsep.join([here, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    clients = [
        subprocess.Popen(
            [sys.executable, file, str(number), address], env={**os.environ, "PYTHONPATH": search}
        )
        for number in range(count)
    ]
    try:
        yield address
        codes = [client.wait(60) for client in clients]
        assert codes == [0] * count, codes
    finally:
        for client in clients:
            client.kill()
            client.wait()
