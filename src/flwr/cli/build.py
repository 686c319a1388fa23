"""``flwr build``: make an app bundle (FAB) of an app."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flwr.cli.output import FormatOption, OutputFormat, bytes_text, reporting
from flwr.errors import FabError

if TYPE_CHECKING:
    from flwr.runtime.fabbuild import Fab


def build(
    app: Annotated[
        Path, typer.Option("--app", help="The app's folder; by default the current one.")
    ] = Path(),
    output_format: FormatOption = OutputFormat.DEFAULT,
) -> None:
    """Make an app bundle (FAB) of an app, in the current folder.

    The same files always make the same bundle. What is left out of it is listed.
    """
    with reporting(output_format) as result:
        from flwr.runtime.fabbuild import build as build_fab

        fab = build_fab(app)
        path = _write(fab)
        result.update(_as_json(fab, path))
        if output_format is not OutputFormat.JSON:
            _tell(fab)


def _write(fab: "Fab") -> Path:
    """Write a FAB, whole or not at all."""
    path = Path(fab.file_name).absolute()
    made = path.with_name(f".{path.name}.part")
    try:
        made.write_bytes(fab.content)
        made.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            made.unlink()
        raise FabError(f"The FAB cannot be written to '{path}': {error.strerror}") from error
    return path


def _tell(fab: "Fab") -> None:
    count, size = len(fab.files), bytes_text(len(fab.content))
    typer.echo(f"Successfully built {fab.file_name} ({count} files, {size})")
    if fab.left_out:
        typer.echo("Left out:")
    for each in fab.left_out:
        typer.echo(f"  {each.path}: {each.why}")
    if fab.missing:
        listed = " and ".join(f"'{key}'" for key in fab.missing)
        typer.echo(f"Warning: [project] in pyproject.toml should have {listed}.", err=True)


def _as_json(fab: "Fab", path: Path) -> dict[str, Any]:
    return {
        "fab-id": fab.app.fab_id,
        "fab-name": fab.app.name,
        "fab-version": fab.app.version,
        "fab-hash": fab.fab_hash,
        "fab-filename": fab.file_name,
        "path": str(path),
        "files": list(fab.files),
        "left-out": [{"path": each.path, "why": each.why} for each in fab.left_out],
        "missing": list(fab.missing),
    }
