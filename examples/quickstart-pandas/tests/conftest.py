"""What the tests share."""

import tomllib
from pathlib import Path

import pytest


@pytest.fixture
def config():
    """Return the settings of pyproject.toml."""
    project = Path(__file__).parents[1] / "pyproject.toml"
    return tomllib.loads(project.read_text())["tool"]["flwr"]["app"]["config"]
