"""Loading a component of an app, and what is told when it cannot be."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flwr.errors import AppLoadError
from flwr.runtime.load import load_component


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Return an app's folder; what was imported from it is forgotten afterwards."""
    path, modules = list(sys.path), set(sys.modules)
    yield tmp_path
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        del sys.modules[name]


def test_a_component_is_imported_from_its_folder(folder: Path) -> None:
    (folder / "loadable.py").write_text("import loadable_helper\napp = loadable_helper.VALUE\n")
    (folder / "loadable_helper.py").write_text("VALUE = {'a': 1}\n")
    assert load_component("loadable:app", folder, dict) == {"a": 1}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("import nowhere_to_be_found\napp = 1\n", "No module named 'nowhere_to_be_found'"),
        ("app = 1\nraise ValueError('boom')\n", "ValueError: boom"),
        ("def broken(:\n", "SyntaxError"),
        ("app = 'text'\n", "it is a str, not a dict"),
        ("other = {}\n", "defines no 'app'"),
        ("from os import *\n", "the module has no 'app'"),
    ],
)
def test_why_a_component_does_not_load_is_told(folder: Path, source: str, expected: str) -> None:
    (folder / "unloadable.py").write_text(source)
    with pytest.raises(AppLoadError) as caught:
        load_component("unloadable:app", folder, dict)
    assert expected in str(caught.value)
    assert "dict 'unloadable:app'" in str(caught.value)


def test_the_line_of_the_cause_is_told(folder: Path) -> None:
    (folder / "failing.py").write_text("app = {}\n\napp['missing']\n")
    with pytest.raises(AppLoadError) as caught:
        load_component("failing:app", folder, dict)
    assert f'File "{folder / "failing.py"}", line 3' in str(caught.value)
    assert "app['missing']" in str(caught.value)
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_missing_package_comes_with_advice(folder: Path) -> None:
    (folder / "needy.py").write_text("import nowhere_to_be_found\napp = {}\n")
    with pytest.raises(AppLoadError, match="pip install -e"):
        load_component("needy:app", folder, dict)
