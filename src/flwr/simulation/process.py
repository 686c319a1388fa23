"""The process of a simulation: ``python -m flwr.simulation.process --launch-fd N``."""

import logging
import sys

from flwr.app.events import Event
from flwr.config import SimulationOptions
from flwr.errors import SettingsError
from flwr.log import log, update_console_handler
from flwr.runtime.appprocess import ARTIFACTS_VARIABLE, Attempt, info_of, main
from flwr.runtime.load import load_component
from flwr.runtime.tally import Tallies
from flwr.serverapp import ServerApp
from flwr.simulation.capacity import ClientResources
from flwr.simulation.engine import AppReference, simulate


def work(attempt: Attempt) -> None:
    """Run an app with virtual nodes, here. It begins anew in each attempt."""
    sheet, tallies = attempt.inputs.sheet, Tallies()
    options = _options(attempt)
    if options.verbose:
        update_console_handler(level="DEBUG", timestamps=True)
    app = attempt.app()
    artifacts = attempt.artifacts()

    def listen(event: Event) -> None:
        tallies.add(event)
        attempt.reporter.emit(event)

    simulate(
        load_component(app.serverapp, app.app_dir, ServerApp),
        AppReference(app.clientapp, app.app_dir),
        nodes=options.num_supernodes,
        resources=ClientResources(options.num_cpus, options.num_gpus),
        init_args=options.init_args,
        run=info_of(sheet),
        run_config=dict(sheet.run_config),
        listener=listen,
        environment={ARTIFACTS_VARIABLE: str(artifacts)},
    )
    for warning in tallies.judge():
        log(logging.WARNING, warning)


def _options(attempt: Attempt) -> SimulationOptions:
    problems: list[str] = []
    given = attempt.inputs.simulation or {}
    options = SimulationOptions().override(
        given, lambda key, text: problems.append(f"{key}: {text}")
    )
    if problems:
        raise SettingsError(f"The options of the simulation are wrong: {'; '.join(problems)}.")
    return options


if __name__ == "__main__":
    sys.exit(main(work, sys.argv[1:]))
