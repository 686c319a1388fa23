"""How the documentation is built; warnings are errors (`make docs`)."""

import importlib
import re
from typing import Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

from flwr._version import __version__

project = "Wildflower"
author = "the Wildflower authors"
project_copyright = author
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "strategies/comparison"]  # tables that a page includes
html_theme = "furo"
html_title = f"Wildflower {release}"

myst_heading_anchors = 3
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

PUBLIC = [
    "flwr.app",
    "flwr.clientapp",
    "flwr.clientapp.mod",
    "flwr.clientapp.typing",
    "flwr.serverapp",
    "flwr.serverapp.exception",
    "flwr.serverapp.strategy",
    "flwr.simulation",
]


def warn_of_undocumented_names(_: Sphinx, env: BuildEnvironment) -> None:
    """Warn of each public name that no page documents, and so fail the build."""
    documented = set(env.domaindata["py"]["objects"])
    for path in PUBLIC:
        module = importlib.import_module(path)
        for name in getattr(module, "__all__", ()):
            if f"{path}.{name}" not in documented:
                logging.getLogger(__name__).warning("%s.%s is in no page of api/", path, name)


def number_references(
    _app: Sphinx, _what: str, _name: str, _o: Any, _p: Any, lines: list[str]
) -> None:
    """Show a docstring's references as a plain list: their targets would clash within a page."""
    for index, line in enumerate(lines):
        lines[index] = re.sub(r"\[(\d+)\]_", r"[\1]", re.sub(r"^\.\. \[(\d+)\] ", r"\1. ", line))


def setup(app: Sphinx) -> None:
    """Register the functions above."""
    app.connect("autodoc-process-docstring", number_references)
    app.connect("env-check-consistency", warn_of_undocumented_names)
