"""The schemas of what commands print with ``--format json``."""

import json
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator

from flwr.cli.unavailable import LACKS

FOLDER = files("flwr.cli") / "schemas"


def read_schema(command: str) -> dict[str, Any]:
    """Return the schema of a command, named by its words behind ``flwr``."""
    name = "unavailable" if command in LACKS else command.replace(" ", "-")
    schema = json.loads((FOLDER / f"{name}.json").read_text())
    assert isinstance(schema, dict)
    return schema


def checked(command: str, out: str, *, success: bool) -> dict[str, Any]:
    """Return what a command printed: one JSON object that its schema describes."""
    told = json.loads(out)
    assert isinstance(told, dict)
    Draft202012Validator(read_schema(command)).validate(told)
    assert told["success"] is success
    return told
