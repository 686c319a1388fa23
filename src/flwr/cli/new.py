"""``flwr new``: write a small, working app from a template."""

import keyword
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from flwr.cli.frameworks import (
    CHALLENGES,
    DEFAULT_CHALLENGE,
    FRAMEWORKS,
    Framework,
    challenge_named,
    framework_named,
    write_app,
)
from flwr.cli.output import FormatOption, OutputFormat, reporting
from flwr.cli.problems import Problems
from flwr.config.spelling import nearest
from flwr.errors import ConfigError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,31}")
_NAME_RULE = "A name starts with a letter, and has letters, digits and hyphens only, 32 at most."
_TAKEN = {
    "datasets", "fastai", "flwr", "jax", "keras", "lightning", "mlx", "numpy", "pandas", "peft",
    "scipy", "sklearn", "tensorflow", "test", "tests", "tokenizers", "torch", "transformers",
    "xgboost",
}  # fmt: skip
_HUB_APP = re.compile(r"@[A-Za-z0-9_.-]+/(?P<app>[A-Za-z0-9_.-]+)(==\S*)?")


def _frameworks_like(incomplete: str) -> list[str]:
    """Return the frameworks that begin so, for a shell to offer."""
    spelt = [name if name.startswith(incomplete) else name.lower() for name in FRAMEWORKS]
    return [name for name in spelt if name.startswith(incomplete)]


def new(
    app_name: Annotated[
        str | None, typer.Argument(help="The app's name, and its folder's.")
    ] = None,
    framework: Annotated[
        str | None,
        typer.Option(
            help=f"One of: {', '.join(FRAMEWORKS)} (in any case).", autocompletion=_frameworks_like
        ),
    ] = None,
    challenge: Annotated[
        str | None,
        typer.Option(help=f"What a FlowerTune app is about: {', '.join(CHALLENGES)}."),
    ] = None,
    username: Annotated[
        str | None, typer.Option(help="The app's publisher; by default your user name.")
    ] = None,
    output_format: FormatOption = OutputFormat.DEFAULT,
) -> None:
    """Make a new app in a folder of its own. Works offline."""
    with reporting(output_format) as result:
        if app_name and app_name.startswith("@"):
            raise _from_a_hub(app_name)
        problems = Problems("The app cannot be made")
        chosen = None
        with problems.noted():
            name = _name(app_name)
            folder = _folder(name)
        with problems.noted():
            chosen = _framework(framework)
        with problems.noted():
            about = _challenge(challenge, chosen)
        with problems.noted():
            publisher = _publisher(username)
        problems.raise_any()
        assert chosen is not None
        _confirm_overwriting(folder)
        try:
            write_app(folder, chosen.name, publisher, about)
        except OSError as error:
            raise ConfigError(
                f"The app cannot be written: '{error.filename}': {error.strerror}",
                hint="Change to a folder that you may write to, on a disk with room.",
            ) from error
        result.update(
            {
                "app": name,
                "folder": str(folder.absolute()),
                "framework": chosen.name,
                "publisher": publisher,
            }
        )
        if output_format is OutputFormat.JSON:
            return
        typer.echo(
            f"Created the {chosen.name} app '{name}'. Run it with\n\n    flwr run {name}\n\n"
            f"or, to change it first:\n\n    cd {name}\n    pip install -e .\n    flwr run .\n"
        )


def _may_ask() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _name(given: str | None) -> str:
    """Return the app's name; ask for it on a terminal if it is missing or wrong."""
    name = given
    while True:
        if name is None and not _may_ask():
            raise ConfigError(
                "The app has no name", hint="Write: flwr new my-app --framework NumPy"
            )
        if name is None:
            name = str(typer.prompt("Name of the app"))
        wrong = _wrong_name(name)
        if not wrong:
            return name
        if not _may_ask():
            raise ConfigError(wrong, hint=_name_hint(name))
        typer.echo(f"{wrong}. {_name_hint(name)}", err=True)
        name = None


def _wrong_name(name: str) -> str:
    package = name.replace("-", "_").lower()
    if not _NAME.fullmatch(name):
        return f"'{name}' is no valid name for an app"
    if package in _TAKEN or package in sys.stdlib_module_names or keyword.iskeyword(package):
        return f"An app called '{name}' would hide the Python module '{package}'"
    return ""


def _name_hint(name: str) -> str:
    """Return the rule that a name breaks, if it is that, and a name near it that can be had."""
    if _NAME.fullmatch(name):
        return f"For example: my-{name}"
    sanitised = re.sub(r"[^A-Za-z0-9]+", "-", name)
    sanitised = re.sub(r"^[^A-Za-z]+", "", sanitised).strip("-")[:32].rstrip("-")
    fits = sanitised and not _wrong_name(sanitised)
    return f"{_NAME_RULE} For example: {sanitised if fits else 'my-app'}"


def _from_a_hub(spec: str) -> ConfigError:
    """Say what to use instead of an app such as ``@flwrlabs/quickstart-pytorch==1.0.0``."""
    hub_app = _HUB_APP.fullmatch(spec)
    words = re.split(r"[-_.]", hub_app["app"].lower()) if hub_app else []
    by_name = {name.lower(): name for name in FRAMEWORKS}
    found = [by_name[near] for word in words if (near := nearest(word, by_name, cutoff=0.8))]
    name = hub_app["app"] if found and hub_app and not _wrong_name(hub_app["app"]) else "my-app"
    return ConfigError(
        f"'{spec}' is an app of a hub, and a hub cannot be reached from here",
        hint=f"Apps are made from templates: flwr new {name} --framework {[*found, 'NumPy'][0]}. "
        f"There are: {', '.join(FRAMEWORKS)}.",
    )


def _framework(given: str | None) -> Framework:
    """Return the template; ask for it on a terminal if it is missing."""
    if given is None and not _may_ask():
        raise ConfigError(
            "No framework is given", hint=f"Add --framework with one of: {', '.join(FRAMEWORKS)}."
        )
    return framework_named(given or _choice("Framework", list(FRAMEWORKS), default="NumPy"))


def _challenge(given: str | None, framework: Framework | None) -> str:
    """Return what the app is about; ask for it on a terminal if that is to be chosen.

    Without a framework, only what is given is looked at.
    """
    if given is not None:
        if framework is not None and not framework.challenges:
            raise ConfigError(
                f"--challenge is for FlowerTune, not for {framework.name}", hint="Leave it out."
            )
        return challenge_named(given)
    if framework is not None and framework.challenges and _may_ask():
        return challenge_named(_choice("Challenge", CHALLENGES, default=DEFAULT_CHALLENGE))
    return DEFAULT_CHALLENGE


def _choice(what: str, names: Sequence[str], *, default: str) -> str:
    """Show a numbered menu and return what was chosen, by number or name."""
    for number, name in enumerate(names, start=1):
        typer.echo(f"  {number:2}. {name}")
    given = str(typer.prompt(f"{what} (number or name)", default=default)).strip()
    return names[int(given) - 1] if given.isdecimal() and 0 < int(given) <= len(names) else given


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


def _folder(name: str) -> Path:
    """Return the app's folder; what is in it already may be overwritten only if asked for."""
    folder = Path(name)
    if _is_free(folder) or (folder.is_dir() and _may_ask()):
        return folder
    raise ConfigError(f"'{folder}' exists already", hint="Choose another name, or remove it first.")


def _is_free(folder: Path) -> bool:
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def _confirm_overwriting(folder: Path) -> None:
    if not _is_free(folder):
        typer.confirm(f"The folder '{folder}' exists. Overwrite files in it?", abort=True)
