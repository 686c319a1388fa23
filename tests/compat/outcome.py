"""What an app of the matrix makes, with whatever Flower this is: used by tests, and by upstream.

Run as a script with an app's name and a file, it writes the outcome there.
"""

import importlib
import json
import logging
import re
import sys
from pathlib import Path
from typing import Any

APPS = Path(__file__).parent / "matrix"

# Lines of a run's log that say how it went, whatever process it runs in.
TELLING = re.compile(
    r"\[(INIT|SUMMARY|ROUND .*)\]|History|\t|this is round|fit progress|Both server and"
    r"|Initial global|Global eval|initial parameters|Starting evaluation|Evaluation returned"
    r"|(configure|aggregate)_(fit|evaluate|train): |Sampling failed|No (fit|evaluate)_metrics"
    r"|Using initial|Requesting initial|Received initial|Failed to receive"
)
SECONDS = re.compile(r"(fit progress: .*, )[0-9.e-]+\)$", re.DOTALL)
FAILURE = re.compile(r"(Received error in reply from node).*", re.DOTALL)


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if TELLING.match(text) and record.levelno < logging.ERROR:
            self.lines.append(FAILURE.sub(r"\1", SECONDS.sub(r"\1*)", text)))


def outcome_of(name: str) -> dict[str, Any]:
    """Run an app; return what it kept and what the log told."""
    keeping = importlib.import_module("keeping")
    keeping.kept.clear()
    app = importlib.import_module(name)
    handler = _Lines()
    logger = logging.getLogger("flwr")
    logger.addHandler(handler)
    try:
        app.run()
    finally:
        logger.removeHandler(handler)
    outcome = {"kept": dict(keeping.kept), "log": handler.lines}
    return json.loads(json.dumps(outcome))  # type: ignore[no-any-return]


if __name__ == "__main__":
    sys.path.insert(0, str(APPS))
    Path(sys.argv[2]).write_text(json.dumps(outcome_of(sys.argv[1])))
