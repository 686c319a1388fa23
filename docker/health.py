"""The images' health check: ask the container's main process, and end with status 0 if it is well.

It asks where the main process was told to listen: at ``--health-server-address``, or a SuperLink at
the address for ``flwr``. A process that listens nowhere is well while it runs.
"""

import argparse
import ssl
import sys
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

PATIENCE = 3.0  # seconds for an answer


def address(command: list[str]) -> str | None:
    """Return where the process with this command line answers, as HOST:PORT."""
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    parser.add_argument("--health-server-address")
    parser.add_argument("--control-api-address", "--exec-api-address", dest="control")
    parser.add_argument("--host")
    parser.add_argument("--port")
    given, _ = parser.parse_known_args([word for word in command if word != "--"])
    where = given.health_server_address
    if where is None:
        if not any(word.endswith("flower-superlink") for word in command):
            return None
        together = given.host is not None or given.port is not None
        one_port = f"{given.host or '127.0.0.1'}:{given.port or 8000}"
        where = given.control or (one_port if together else "127.0.0.1:9093")
    host, _, port = where.rpartition(":")
    return f"{host if host not in ('', '0.0.0.0', '[::]') else '127.0.0.1'}:{port}"  # noqa: S104 - compared


def is_well(where: str) -> bool:
    """Return whether ``GET /health`` is answered, by plain HTTP or TLS."""
    whoever = ssl.create_default_context()
    whoever.check_hostname = False  # it is this container, and its name is not 127.0.0.1
    whoever.verify_mode = ssl.CERT_NONE
    for scheme in ("http", "https"):
        try:
            url = f"{scheme}://{where}/health"
            with urlopen(url, timeout=PATIENCE, context=whoever) as answer:  # noqa: S310 - see url
                return answer.status == 200
        except (URLError, OSError, ValueError):
            continue
    return False


if __name__ == "__main__":
    words = Path("/proc/1/cmdline").read_bytes().decode(errors="replace").split("\0")
    place = address(words)
    sys.exit(0 if place is None or is_well(place) else 1)
