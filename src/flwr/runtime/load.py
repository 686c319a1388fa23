"""Load a ServerApp or ClientApp from the folder of an app."""

import importlib
import sys
import traceback
from pathlib import Path
from typing import TypeVar

from flwr.config.project import check_reference
from flwr.errors import AppLoadError

T = TypeVar("T")


def load_component(reference: str, app_dir: Path, kind: type[T]) -> T:
    """Import a module of an app and return one of its attributes.

    The app's folder comes first on ``sys.path`` and stays there, so that the app can import its
    own modules later too.

    Parameters
    ----------
    reference : str
        ``package.module:attribute``.
    app_dir : Path
        The app's folder.
    kind : type
        What the attribute must be, such as ``ServerApp``.

    Raises
    ------
    AppLoadError
        If the reference is malformed or names nothing, if the import raises (the cause is shown
        with the app's lines and chained), or if the attribute is of another type.
    """
    what = f"{kind.__name__} '{reference}'"
    if wrong := check_reference(reference, app_dir):
        raise AppLoadError(f"Cannot load the {what}: {wrong}")
    module_name, _, attribute = reference.partition(":")
    folder = str(app_dir.absolute())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        raise AppLoadError(
            f"Cannot load the {what}: {describe(error, app_dir)}", hint=_hint(error, app_dir)
        ) from error
    try:
        value = getattr(module, attribute)
    except AttributeError as error:
        raise AppLoadError(f"Cannot load the {what}: the module has no '{attribute}'") from error
    if not isinstance(value, kind):
        raise AppLoadError(
            f"Cannot load the {what}: it is a {type(value).__name__}, not a {kind.__name__}"
        )
    return value


def describe(error: BaseException, app_dir: Path | None = None, *, frames: int = 3) -> str:
    """Return an exception's type, message and the last lines of its traceback.

    Parameters
    ----------
    error : BaseException
        The exception.
    app_dir : Path, optional
        Only frames in files below it are shown, if there are any.
    frames : int, default 3
        How many frames are shown at most.
    """
    stack = list(traceback.extract_tb(error.__traceback__))
    if app_dir is not None:
        below = str(app_dir.absolute())
        stack = [frame for frame in stack if frame.filename.startswith(below)] or stack
    lines = [f"{type(error).__name__}: {error}"]
    if isinstance(error, SyntaxError) and error.filename:
        lines.append(f'  File "{error.filename}", line {error.lineno}')
        lines.append(f"    {(error.text or '').strip()}")
        return "\n".join(lines)
    for frame in stack[-frames:]:
        lines.append(f'  File "{frame.filename}", line {frame.lineno}, in {frame.name}')
        if frame.line:
            lines.append(f"    {frame.line}")
    return "\n".join(lines)


def _hint(error: Exception, app_dir: Path) -> str:
    missing = error.name if isinstance(error, ModuleNotFoundError) else None
    if missing and not (app_dir / missing.replace(".", "/")).exists():
        return f"If '{missing}' is a package: install what the app needs: pip install -e {app_dir}"
    return ""
