"""``flwr-serverapp``: runs ServerApps for a SuperLink with ``--isolation process``."""

import sys
from collections.abc import Sequence

from flwr.cli.appprocesses import Program, run_single
from flwr.runtime.serverapp_process import serve

PROGRAM = Program(
    "flwr-serverapp",
    "Run ServerApps for a SuperLink that was started with --isolation process.",
    ("--serverappio-api-address", "--runtime-api-address", "--appio-api-address"),
)


def main() -> None:
    """Run ``flwr-serverapp`` and exit with its status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run ServerApps, one after the other, or the one that a token names."""
    return run_single(arguments, PROGRAM, "serverapp", serve)


if __name__ == "__main__":
    main()
