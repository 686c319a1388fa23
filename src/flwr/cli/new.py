"""``flwr new``: write a small, working app from a template."""

import keyword
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Annotated

import typer

from flwr.cli.output import OutputFormat, reporting
from flwr.config.spelling import suggestion
from flwr.errors import ConfigError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,31}")
_NAME_RULE = "A name starts with a letter, and has letters, digits and hyphens only, 32 at most."
_TAKEN = {"flwr", "numpy", "sklearn", "scipy", "test"}
_RENAMED = {"gitignore": ".gitignore"}  # packaging tools would heed the real one


@dataclass(frozen=True)
class Framework:
    """A template: folders laid over each other, and the words put into their placeholders."""

    layers: tuple[str, ...]
    words: dict[str, str]


FRAMEWORKS = {
    "numpy": Framework(("digits", "numpy"), {"library": "NumPy", "learning_rate": "0.1"}),
    "sklearn": Framework(
        ("digits", "sklearn"), {"library": "scikit-learn", "learning_rate": "0.03"}
    ),
}


def new(
    app_name: Annotated[
        str | None, typer.Argument(help="The app's name, and its folder's.")
    ] = None,
    framework: Annotated[
        str | None, typer.Option(help=f"One of: {', '.join(FRAMEWORKS)} (in any case).")
    ] = None,
    username: Annotated[
        str | None, typer.Option(help="The app's publisher; by default your user name.")
    ] = None,
) -> None:
    """Make a new app in a folder of its own. Works offline."""
    with reporting(OutputFormat.DEFAULT):
        name = _name(app_name)
        chosen = _framework(framework)
        publisher = _publisher(username)
        folder = Path(name)
        _check_free(folder)
        write_app(folder, chosen, publisher)
        typer.echo(
            f"Created the {chosen} app '{name}'. Run it with\n\n    flwr run {name}\n\n"
            f"or, to change it first:\n\n    cd {name}\n    pip install -e .\n    flwr run .\n"
        )


def write_app(folder: Path, framework: str, publisher: str) -> None:
    """Write the files of an app.

    Parameters
    ----------
    folder : Path
        Created if missing; its name is the app's.
    framework : str
        A key of :data:`FRAMEWORKS`.
    publisher : str
        The app's publisher.
    """
    template = FRAMEWORKS[framework]
    package = folder.name.replace("-", "_")
    words = {**template.words, "name": folder.name, "package": package, "publisher": publisher}
    for layer in template.layers:
        for relative, file in _template_files(files("flwr.cli").joinpath("templates", layer)):
            parts = [package if part == "package" else part for part in relative]
            target = folder.joinpath(*parts[:-1], _RENAMED.get(parts[-1], parts[-1]))
            target.parent.mkdir(parents=True, exist_ok=True)
            text = Template(file.read_text(encoding="utf-8")).substitute(words)
            target.write_text(text, encoding="utf-8")


def _template_files(
    folder: Traversable, inside: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Traversable]]:
    for entry in folder.iterdir():
        path = (*inside, entry.name)
        if entry.is_dir():
            if entry.name != "__pycache__":
                yield from _template_files(entry, path)
        else:
            yield path, entry


def _may_ask() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _name(given: str | None) -> str:
    """Return the app's name; ask for it on a terminal if it is missing or wrong."""
    name = given
    while True:
        if name is None and not _may_ask():
            raise ConfigError(
                "The app has no name", hint="Write: flwr new my-app --framework numpy"
            )
        if name is None:
            name = str(typer.prompt("Name of the app"))
        wrong = _wrong_name(name)
        if not wrong:
            return name
        if not _may_ask():
            raise ConfigError(wrong, hint=_NAME_RULE + _sanitised_hint(name))
        typer.echo(f"{wrong}. {_NAME_RULE}", err=True)
        name = None


def _wrong_name(name: str) -> str:
    package = name.replace("-", "_").lower()
    if name.startswith("@"):
        return f"'{name}' is an app of a hub, which this version cannot fetch"
    if not _NAME.fullmatch(name):
        return f"'{name}' is no valid name for an app"
    if package in _TAKEN or package in sys.stdlib_module_names or keyword.iskeyword(package):
        return f"An app called '{name}' would hide the Python module '{package}'"
    return ""


def _sanitised_hint(name: str) -> str:
    sanitised = re.sub(r"[^A-Za-z0-9]+", "-", name)
    sanitised = re.sub(r"^[^A-Za-z]+", "", sanitised).strip("-")[:32].rstrip("-")
    fits = sanitised and not _wrong_name(sanitised)
    return f" For example: {sanitised}" if fits else " For example: my-app"


def _framework(given: str | None) -> str:
    """Return the framework's key; ask for it on a terminal if it is missing."""
    if given is None:
        if not _may_ask():
            raise ConfigError(
                "No framework is given", hint=f"Add --framework: {' or '.join(FRAMEWORKS)}."
            )
        for number, key in enumerate(FRAMEWORKS, start=1):
            typer.echo(f"  {number}. {key}")
        keys = list(FRAMEWORKS)
        choices = {str(number): key for number, key in enumerate(keys, start=1)}
        given = str(typer.prompt("Framework (number or name)", default=keys[0]))
        given = choices.get(given.strip(), given)
    key = given.strip().lower()
    if key not in FRAMEWORKS:
        raise ConfigError(f"There is no template '{given}'; {suggestion(key, FRAMEWORKS)}")
    return key


def _publisher(given: str | None) -> str:
    if given is None:
        import getpass

        try:
            given = getpass.getuser()
        except (OSError, KeyError, ImportError):  # no such user in the system's list
            given = ""
        return re.sub(r"[^A-Za-z0-9_-]+", "-", given).strip("-") or "user"
    if not re.fullmatch(r"[A-Za-z0-9_-]+", given):
        raise ConfigError(
            f"'{given}' is no valid publisher", hint="Use letters, digits, '-' and '_' only."
        )
    return given


def _check_free(folder: Path) -> None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if folder.is_dir() and _may_ask():
        typer.confirm(f"The folder '{folder}' exists. Overwrite files in it?", abort=True)
        return
    raise ConfigError(f"'{folder}' exists already", hint="Choose another name, or remove it first.")
