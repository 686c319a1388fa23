"""``flower-simulation``: ``flwr run`` in place, by the options of Flower 1.18."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from logging import WARNING
from pathlib import Path
from typing import Any

from flwr.cli.interrupts import exit_status, interrupts
from flwr.cli.optionvalues import positive
from flwr.cli.output import OutputFormat, reporting
from flwr.cli.problems import Problems
from flwr.cli.streams import usable_streams
from flwr.config import (
    Place,
    SimulationOptions,
    fuse_run_config,
    parse_config_args,
    read_app,
)
from flwr.errors import RunConfigError
from flwr.log import log

_IDLE = {
    "--flwr-dir": "the app is the one that --app names",
    "--run-id": "ids of runs are given here, so that each is there once",
}


def main() -> None:
    """Run ``flower-simulation`` and exit with its status."""
    with usable_streams():
        interrupts.install()
        try:
            run(sys.argv[1:])
        except KeyboardInterrupt as interrupt:
            sys.stderr.write("\nInterrupted.\n")
            raise SystemExit(exit_status(interrupt)) from None
        finally:
            interrupts.end()


def run(arguments: Sequence[str]) -> None:
    """Run an app in place.

    Raises
    ------
    SystemExit
        With the status that ``flwr run`` would end with, unless that is 0.
    """
    import typer

    given = _parser().parse_args(arguments)
    try:
        with reporting(OutputFormat.DEFAULT):
            _run(given)
    except typer.Exit as end:
        raise SystemExit(end.exit_code) from None


def _run(given: argparse.Namespace) -> None:
    app = read_app(given.app)
    problems = Problems("The settings of the run cannot be used")
    with problems.noted():
        overrides = parse_config_args(given.run_config, known=app.run_config)
        run_config = fuse_run_config(app.run_config, overrides)
    with problems.noted():
        options = _options(given)
    problems.raise_any()
    for option, why in _IDLE.items():
        if getattr(given, option[2:].replace("-", "_")) is not None:
            log(WARNING, "%s has no effect: %s.", option, why)
    if given.enable_tf_gpu_growth:
        os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    from flwr.cli.local_run import LocalRun, run_in_place

    request = LocalRun(
        app=app,
        place=Place("", None, options, "flower-simulation"),
        options=options,
        run_config=run_config,
        overrides=overrides,
        debug=False,
        fresh_database=False,
        to_stderr=False,
    )
    run_in_place(request, {})


def _options(given: argparse.Namespace) -> SimulationOptions:
    wrong: list[str] = []
    backend = _backend(given.backend_config)
    if backend.pop("actor", None) is not None and not given.enable_tf_gpu_growth:
        log(WARNING, "'actor' of --backend-config has no effect; see --enable-tf-gpu-growth.")
    values = {
        "backend": {"name": given.backend, **backend},
        "num-supernodes": given.num_supernodes,
        "verbose": given.verbose,
    }
    options = SimulationOptions().override(
        values, lambda key, text: wrong.append(f"'{key}': {text}")
    )
    if wrong:
        raise RunConfigError("--backend, --backend-config: " + "; ".join(wrong))
    return options


def _backend(text: str | None) -> dict[str, Any]:
    try:
        config = json.loads(text or "{}")
    except ValueError as error:
        raise RunConfigError(f"--backend-config is not JSON: {error}; it is {text!r}") from error
    if not isinstance(config, dict):
        raise RunConfigError(f"--backend-config must be a JSON object; it is {text!r}")
    return config


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "flower-simulation",
        description="Run an app in place, as `flwr run` does, by the options of Flower 1.18.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--app", required=True, type=Path, metavar="FOLDER", help="The app's folder.")
    add(
        "--num-supernodes", required=True, type=positive, metavar="N",
        help="How many virtual nodes.",
    )  # fmt: skip
    add(
        "--run-config", action="append", metavar="TEXT",
        help="Settings as 'key=value key=value', or one TOML file.",
    )  # fmt: skip
    add("--backend", default="ray", metavar="NAME", help="ray; it means the built-in engine.")
    add(
        "--backend-config", metavar="JSON",
        help='Such as \'{"client_resources": {"num_cpus": 2, "num_gpus": 0}}\'.',
    )  # fmt: skip
    add(
        "--enable-tf-gpu-growth", action="store_true",
        help="Have TensorFlow take memory of GPUs as it needs it.",
    )  # fmt: skip
    add("--verbose", action="store_true", help="Log at level DEBUG.")
    idle = parser.add_argument_group("accepted without effect")
    for option, why in _IDLE.items():
        idle.add_argument(option, metavar="VALUE", help=f"no effect: {why}")
    return parser


if __name__ == "__main__":
    main()
