"""The templates of ``flwr new``: folders that are laid over each other."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flwr.config.spelling import nearest
from flwr.errors import ConfigError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

_WORDS = "words.toml"  # of a layer, for the placeholders of all
_RENAMED = {"gitignore": ".gitignore"}  # packaging tools would heed the real one

_IMAGES = ("app", "partition", "images")
_WITH_ARRAYS = (*_IMAGES, "arrays")  # a model is a list of arrays
_WITH_MODULE = (*_IMAGES, "torch")  # a model is a torch.nn.Module
_TABLES = ("app", "partition", "tables")
_TEXTS = ("app", "partition", "torch")


@dataclass(frozen=True)
class Framework:
    """A template.

    Attributes
    ----------
    name : str
        As it is shown and asked for.
    layers : tuple of str
        Folders of templates; a file of a later one wins.
    also : tuple of str
        Other names that are understood.
    challenges : tuple of str
        What the app can be about, if that is to be chosen: each is one more layer.
    """

    name: str
    layers: tuple[str, ...]
    also: tuple[str, ...] = ()
    challenges: tuple[str, ...] = ()


CHALLENGES = ("Code", "Finance", "GeneralNLP", "Medical")
DEFAULT_CHALLENGE = "GeneralNLP"
FRAMEWORKS = {
    framework.name: framework
    for framework in (
        Framework("NumPy", (*_WITH_ARRAYS, "numpy")),
        Framework("sklearn", (*_WITH_ARRAYS, "sklearn"), ("scikit-learn",)),
        Framework("PyTorch", (*_WITH_MODULE, "pytorch"), ("torch",)),
        Framework("Lightning", (*_WITH_MODULE, "lightning"), ("PyTorch Lightning",)),
        Framework("HuggingFace", (*_TEXTS, "huggingface"), ("transformers",)),
        Framework("TensorFlow", (*_WITH_ARRAYS, "tensorflow"), ("Keras",)),
        Framework("JAX", (*_WITH_ARRAYS, "jax")),
        Framework("MLX", (*_WITH_ARRAYS, "mlx")),
        Framework("XGBoost", (*_TABLES, "xgboost")),
        Framework("pandas", (*_TABLES, "pandas")),
        Framework("fastai", (*_WITH_MODULE, "fastai")),
        Framework("FlowerTune", ("app", "flowertune"), ("LLM",), CHALLENGES),
        Framework("Baseline", (*_WITH_MODULE, "pytorch", "baseline"), ("Flower Baseline",)),
    )
}


def framework_named(given: str) -> Framework:
    """Return a template by any of its names, in any case, with or without blanks and hyphens.

    Raises
    ------
    ConfigError
        If there is none; names the nearest.
    """
    by_name = {
        _plain(name): framework
        for framework in FRAMEWORKS.values()
        for name in (framework.name, *framework.also)
    }
    if found := by_name.get(_plain(given)):
        return found
    raise _unknown("template", given, FRAMEWORKS)


def challenge_named(given: str) -> str:
    """Return one of `CHALLENGES`, in its own case.

    Raises
    ------
    ConfigError
        If it is none of them.
    """
    by_name = {_plain(name): name for name in CHALLENGES}
    if found := by_name.get(_plain(given)):
        return found
    raise _unknown("challenge", given, CHALLENGES)


def write_app(
    folder: Path, framework: str, publisher: str, challenge: str = DEFAULT_CHALLENGE
) -> None:
    """Write the files of an app.

    Parameters
    ----------
    folder : Path
        Created if missing; its name is the app's.
    framework : str
        A key of `FRAMEWORKS`.
    publisher : str
        The app's publisher.
    challenge : str
        What a FlowerTune app is about: one of `CHALLENGES`.
    """
    from importlib.resources import files
    from string import Template

    package = folder.name.replace("-", "_")
    names = {"name": folder.name, "package": package, "publisher": publisher}
    template = FRAMEWORKS[framework]
    of_challenge = (f"{template.layers[-1]}-{challenge.lower()}",) if template.challenges else ()
    templates = files("flwr.cli").joinpath("templates")
    layers = [templates.joinpath(layer) for layer in (*template.layers, *of_challenge)]
    words = {**_words(layers, names), **names}
    for layer in layers:
        for relative, file in _template_files(layer):
            parts = [package if part == "package" else part for part in relative]
            target = folder.joinpath(*parts[:-1], _RENAMED.get(parts[-1], parts[-1]))
            target.parent.mkdir(parents=True, exist_ok=True)
            text = Template(file.read_text(encoding="utf-8")).substitute(words)
            target.write_text(text, encoding="utf-8")


def _words(layers: "list[Traversable]", names: dict[str, str]) -> dict[str, str]:
    """Return what replaces the placeholders: later layers replace texts and add to lists."""
    import tomllib
    from string import Template

    merged: dict[str, Any] = {}
    for layer in layers:
        if (file := layer.joinpath(_WORDS)).is_file():
            for key, value in tomllib.loads(file.read_text(encoding="utf-8")).items():
                merged[key] = [*merged.get(key, ()), *value] if isinstance(value, list) else value
    merged["dependencies"] = [f'    "{package}",' for package in merged["dependencies"]]
    words = {
        key: "\n".join(value) if isinstance(value, list) else str(value).strip()
        for key, value in merged.items()
    }
    for _ in range(2):  # a word may hold others
        words = {
            key: Template(text).safe_substitute({**words, **names}) for key, text in words.items()
        }
    return words


def _template_files(
    folder: "Traversable", inside: tuple[str, ...] = ()
) -> "Iterator[tuple[tuple[str, ...], Traversable]]":
    for entry in folder.iterdir():
        path = (*inside, entry.name)
        if entry.is_dir():
            if entry.name != "__pycache__":
                yield from _template_files(entry, path)
        elif path != (_WORDS,):
            yield path, entry


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", "", name).lower()


def _unknown(what: str, given: str, names: Iterable[str]) -> ConfigError:
    by_name = {name.lower(): name for name in names}
    near = nearest(given.lower(), by_name)
    did_you_mean = f"; did you mean '{by_name[near]}'?" if near else ""
    return ConfigError(
        f"There is no {what} '{given}'{did_you_mean}",
        hint=f"There are: {', '.join(by_name.values())}.",
    )
