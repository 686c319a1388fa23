"""``flwr install``: unpack an app bundle (FAB) into ``FLWR_HOME``."""

import re
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from flwr.cli.output import FormatOption, OutputFormat, reporting
from flwr.config import AppConfig, home
from flwr.errors import ConfigError, FabError, HomeError

_HASH = re.compile(r"[0-9a-f]{8}")


def install(
    source: Annotated[
        str | None, typer.Argument(help="The FAB, a file that `flwr build` made.")
    ] = None,
    flwr_dir: Annotated[
        Path | None,
        typer.Option("--flwr-dir", help="Install below this folder; by default FLWR_HOME."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Install again what is installed; ask nothing.")
    ] = False,
    output_format: FormatOption = OutputFormat.DEFAULT,
) -> None:
    """Install an app bundle (FAB): check it, and unpack it into the folder of apps.

    None of its code is run.
    """
    with reporting(output_format) as result:
        from flwr.runtime import appfolders, fab

        as_json = output_format is OutputFormat.JSON
        may_ask = not as_json and _may_ask()
        path = Path(source or _ask_for_source(may_ask=may_ask)).expanduser()
        content = _read(path)
        app = fab.read(content)
        _check_name(path, app, fab.fab_hash_of(content))
        apps_dir = (flwr_dir.expanduser().absolute() if flwr_dir else home()) / "apps"
        before = fab.unpacked_at(content, app, apps_dir)
        anew = before is not None and _wants_anew(app, before, content, yes=yes, may_ask=may_ask)
        try:
            folder = fab.unpack(content, apps_dir, anew=anew).app_dir
            appfolders.keep(folder)  # if a run brought it
        except OSError as error:
            raise HomeError(f"The app cannot be written to {apps_dir}: {error.strerror}") from error
        result.update(
            {
                "fab-id": app.fab_id,
                "fab-name": app.name,
                "fab-version": app.version,
                "fab-hash": fab.fab_hash_of(content),
                "app-dir": str(folder),
                "installed": anew or before is None,
            }
        )
        if as_json:
            return
        if before is not None and not anew:
            typer.echo(f"{app.name} {app.version} is installed in {folder}. Nothing was changed.")
        else:
            typer.echo(f"Successfully installed {app.name} to {folder}.")
        typer.echo(f"Run it with: flwr run {shlex.quote(str(folder))}")


def _may_ask() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


def _ask_for_source(*, may_ask: bool) -> str:
    if not may_ask:
        raise ConfigError("No FAB is given", hint="Write: flwr install NAME.fab")
    return str(typer.prompt("The FAB to install"))


def _read(path: Path) -> bytes:
    from flwr.runtime.fab import MOST_BYTES

    if not path.is_file():
        found = "it is a folder" if path.is_dir() else "there is no such file"
        hint = f"To make a FAB of it: flwr build --app {path}" if path.is_dir() else ""
        raise FabError(f"'{path}' cannot be installed: {found}", hint=hint)
    if path.suffix != ".fab":
        raise FabError(
            f"'{path}' is no FAB: its name does not end with '.fab'", hint="Make one: flwr build"
        )
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)  # more is refused
    except OSError as error:
        raise FabError(f"'{path}' cannot be read: {error.strerror}") from error


def _check_name(path: Path, app: AppConfig, fab_hash: str) -> None:
    """Compare the file's name, which is all that a user sees of a FAB, with what is inside."""
    from flwr.runtime.fab import file_name_of

    expected = file_name_of(app, fab_hash)
    if path.name == expected:
        return
    said = path.stem.rpartition(".")[2]
    if _HASH.fullmatch(said) and said != fab_hash[:8]:
        raise FabError(
            f"'{path.name}' is not the FAB that its name says: its hash is {fab_hash[:8]}, "
            f"not {said}",
            hint="It was changed or damaged on its way. Get it again from where it was made.",
        )
    raise FabError(
        f"'{path.name}' is no name for this FAB: a name reads "
        "<publisher>.<name>.<version>.<8 digits of the hash>.fab",
        hint=f"What is inside is called: {expected}",
    )


def _wants_anew(app: AppConfig, folder: Path, content: bytes, *, yes: bool, may_ask: bool) -> bool:
    """Return whether an app that is installed is to be installed again.

    Raises
    ------
    FabError
        If its files were changed, and nobody can be asked.
    """
    from flwr.runtime.fab import changed_files
    from flwr.runtime.fabfiles import listed

    if yes:
        return True
    changed = changed_files(content, folder)
    if may_ask:
        state = f", and these files were changed since: {listed(changed)}" if changed else ""
        typer.echo(f"{app.name} {app.version} is already installed in {folder}{state}.")
        return typer.confirm("Install it again?")
    if changed:
        raise FabError(
            f"{app.name} {app.version} is already installed in {folder}, "
            f"and these files were changed since: {listed(changed)}",
            hint="To replace them, add --yes.",
        )
    return False
