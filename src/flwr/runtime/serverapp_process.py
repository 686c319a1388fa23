"""The process of a ServerApp: ``python -m flwr.runtime.serverapp_process --launch-fd N``."""

import logging
import sys

from flwr.app import Context, RecordDict
from flwr.app.events import RunStarted
from flwr.log import log
from flwr.runtime.appprocess import Attempt, info_of, main
from flwr.runtime.linkgrid import LinkGrid
from flwr.runtime.load import load_component
from flwr.serverapp import ServerApp


def serve(attempt: Attempt) -> None:
    """Run the ServerApp of a run."""
    sheet, reporter = attempt.inputs.sheet, attempt.reporter
    app = attempt.app()
    attempt.artifacts()
    server_app = load_component(app.serverapp, app.app_dir, ServerApp)
    context = Context(
        run_id=sheet.run_id,
        node_id=0,
        node_config={},
        state=RecordDict(),
        run_config=dict(sheet.run_config),
    )
    grid = LinkGrid(attempt.link, info_of(sheet), context, reporter.emit, reporter.flush)
    try:
        grid.begin()
        grid.emit(RunStarted(sheet.fab_id, len(grid.get_node_ids()), 0))
        server_app(grid, context)
    finally:
        grid.close()
    for warning in grid.tallies.judge():
        log(logging.WARNING, warning)
    attempt.context = grid.context_body


if __name__ == "__main__":
    sys.exit(main(serve, sys.argv[1:]))
