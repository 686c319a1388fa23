"""Where an app leaves what a run produced."""

import os
from pathlib import Path

_VARIABLE = "FLWR_ARTIFACTS_DIR"


def artifacts_dir() -> Path:
    """Return the folder for this run's artifacts: models, plots, tables.

    Returns
    -------
    pathlib.Path
        In a run that ``flwr run`` started, the run's own folder, which is kept with its log and
        metrics; otherwise ``artifacts`` in the current directory. It exists when this returns.
    """
    folder = Path(os.environ.get(_VARIABLE) or "artifacts")
    folder.mkdir(parents=True, exist_ok=True)
    return folder
