"""``flwr-simulation``: runs simulations for a SuperLink with ``--isolation process``."""

import sys
from collections.abc import Sequence

from flwr.cli.appprocesses import Program, run_single
from flwr.simulation.process import work

PROGRAM = Program(
    "flwr-simulation",
    "Run simulations for a SuperLink that was started with --simulation and --isolation process.",
    ("--simulationio-api-address", "--runtime-api-address", "--appio-api-address"),
)


def main() -> None:
    """Run ``flwr-simulation`` and exit with its status."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run simulations, one after the other, or the one that a token names."""
    return run_single(arguments, PROGRAM, "simulation", work)


if __name__ == "__main__":
    main()
