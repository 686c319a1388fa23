"""Flat configuration dictionaries and the ``key=value`` text of the command line."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from flwr.config.spelling import suggestion
from flwr.config.toml import Problems, read_toml
from flwr.errors import RunConfigError

UserConfigValue = bool | float | int | str
UserConfig = dict[str, UserConfigValue]

_LEAST, _MOST = -(2**63), 2**64 - 1  # whole numbers that can be stored and sent
_FORM = "write pairs as in: lr=0.1 rounds=3 verbose=true name='a text'"
# One `key=value`; blanks around `=` are fine. A value is quoted text, a table, a list, or a run
# of non-blanks.
_PAIR = re.compile(
    r"""\s*(?P<key>[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)*)\s*=\s*"""
    r"""(?P<value>"(?:[^"\\]|\\.)*"|'[^']*'|\{[^{}]*\}|\[[^\[\]]*\]|[^\s"'{\[]\S*)(?=\s|$)"""
)


def flatten_dict(
    raw_dict: Mapping[str, Any] | None, parent_key: str = ""
) -> dict[str, UserConfigValue]:
    """Return a nested dictionary as a flat one whose keys are joined by dots.

    Parameters
    ----------
    raw_dict : mapping or None
        Values are bool, int, float, str, or mappings of these. None gives ``{}``.
    parent_key : str, default ""
        What the keys start with.

    Raises
    ------
    ValueError
        If a value has another type; names its key.
    """
    flat: dict[str, UserConfigValue] = {}
    for name, value in (raw_dict or {}).items():
        key = f"{parent_key}.{name}" if parent_key else name
        if isinstance(value, Mapping):
            flat.update(flatten_dict(value, key))
        elif isinstance(value, (bool, int, float, str)):
            flat[key] = value
        else:
            raise ValueError(
                f"The value for key '{key}' must be a bool, int, float, str, or a dict of these; "
                f"it is {value!r} ({type(value).__name__})"
            )
    return flat


def read_values(
    table: Mapping[str, Any],
    complain: Callable[[tuple[str, ...], str], None],
    key: tuple[str, ...] = (),
) -> UserConfig:
    """Return the values of a table, with dotted keys.

    Parameters
    ----------
    table : mapping
        As TOML has it.
    complain : callable
        Called with a key and what is wrong with it, for each value that no configuration has.
    key : tuple of str, default ()
        Where the table lies, for `complain`.
    """
    flat: UserConfig = {}
    for name, value in table.items():
        if isinstance(value, Mapping):
            inner = read_values(value, complain, (*key, name))
            flat.update({f"{name}.{below}": each for below, each in inner.items()})
        elif not isinstance(value, (bool, int, float, str)):
            complain((*key, name), f"must be a bool, int, float or text; it is {value!r}")
        elif isinstance(value, int) and not _LEAST <= value <= _MOST:
            complain((*key, name), f"must be a whole number of at most 64 bits; it is {value}")
        else:
            flat[name] = value
    return flat


def unflatten_dict(flat_dict: Mapping[str, UserConfigValue]) -> dict[str, Any]:
    """Return a flat dictionary with dotted keys as a nested one; undoes :func:`flatten_dict`.

    Raises
    ------
    TypeError
        If one key is both a value and the start of another key, as in ``a`` and ``a.b``.
    """
    nested: dict[str, Any] = {}
    for key, value in flat_dict.items():
        *tables, last = key.split(".")
        inner = nested
        for table in tables:
            inner = inner.setdefault(table, {})
            if not isinstance(inner, dict):
                raise TypeError(f"The key '{key}' lies below '{table}', which has a value")
        if isinstance(inner.get(last), dict):
            raise TypeError(f"The key '{key}' has a value, and other keys lie below it")
        inner[last] = value
    return nested


def fuse_dicts(
    main_dict: Mapping[str, Any], override_dict: Mapping[str, Any], check_keys: bool = True
) -> dict[str, Any]:
    """Return `main_dict` with the values of `override_dict` in their places.

    Parameters
    ----------
    main_dict : mapping
        The defaults. Not changed.
    override_dict : mapping
        What replaces them. Nested mappings are fused, other values replaced, whatever their type.
    check_keys : bool, default True
        Refuse keys that `main_dict` lacks; otherwise they are left out.

    Raises
    ------
    ValueError
        If a key is unknown, or a mapping meets a plain value.
    """
    fused = dict(main_dict)
    for key, value in override_dict.items():
        if key not in main_dict:
            if check_keys:
                raise ValueError(f"Key '{key}' is not present in the main dictionary")
        elif isinstance(value, Mapping):
            if not isinstance(main_dict[key], Mapping):
                raise ValueError(f"Key '{key}' holds a value, not a dictionary")
            fused[key] = fuse_dicts(main_dict[key], value, check_keys)
        else:
            fused[key] = value
    return fused


def fuse_run_config(
    defaults: Mapping[str, UserConfigValue],
    overrides: Mapping[str, UserConfigValue],
    option: str = "--run-config",
) -> UserConfig:
    """Return a flat run config with overrides in their places.

    Raises
    ------
    RunConfigError
        If a key has no default; names each such key and the nearest known one.
    """
    unknown = [key for key in overrides if key not in defaults]
    if unknown:
        told = [f"'{key}'; {suggestion(key, defaults)}".rstrip("; ") for key in unknown]
        raise RunConfigError(
            f"Unknown key in {option}: {told[0]}"
            if len(told) == 1
            else "\n- ".join([f"Unknown keys in {option}:", *told]),
            hint="Keys are those of [tool.flwr.app.config] in the app's pyproject.toml.",
        )
    return {**defaults, **overrides}


def differing_types(
    defaults: Mapping[str, UserConfigValue], overrides: Mapping[str, UserConfigValue]
) -> list[str]:
    """Return a sentence for each override of another type than its default: often the cause.

    A whole number in place of one with a fraction is not worth a word.
    """
    return [
        f"'{key}' was set to {_with_type(value)}; by default it is {_with_type(defaults[key])}."
        for key, value in overrides.items()
        if key in defaults and not _alike(value, defaults[key])
    ]


def _alike(value: UserConfigValue, default: UserConfigValue) -> bool:
    return type(value) is type(default) or (type(value) is int and type(default) is float)


def _with_type(value: UserConfigValue) -> str:
    """Return a value as TOML has it, with the name of its type."""
    if isinstance(value, bool):
        return f"{str(value).lower()} (a boolean)"
    if isinstance(value, str):
        return f"{value!r} (text)"
    return f"{value} ({'a whole number' if isinstance(value, int) else 'a number'})"


def parse_config_args(
    config: Sequence[str] | None,
    flatten: bool = True,
    *,
    option: str = "--run-config",
    known: Collection[str] | None = None,
) -> dict[str, Any]:
    """Return what ``key=value`` texts, or one ``.toml`` file, say.

    Parameters
    ----------
    config : sequence of str or None
        Each text holds pairs separated by blanks, or the only one is the path of a TOML file.
        Values are TOML: bool, int, float, quoted string, or an inline table of these.
        Later texts override earlier ones.
    flatten : bool, default True
        Return dotted keys; otherwise nested dictionaries.
    option : str, default "--run-config"
        The option's name, for messages.
    known : collection of str, optional
        The keys that a file may have, dotted: others are told with their lines.

    Raises
    ------
    RunConfigError
        If a text does not parse (quoted in the message), a value has another type, or a file has
        unknown keys.
    """
    texts = list(config or ())
    files = [text for text in texts if text.strip().endswith(".toml") and not _PAIR.fullmatch(text)]
    if files and len(texts) > 1:
        raise RunConfigError(
            f"{option}: a file ('{files[0]}') cannot be given together with other values"
        )
    if files:
        return _read_file(Path(files[0].strip()).expanduser(), option, known, flatten=flatten)
    flat: UserConfig = {}
    wrong: list[RunConfigError] = []
    for text in texts:
        try:
            flat.update(_parse(text, option))
        except RunConfigError as error:
            wrong.append(error)
    if wrong:
        hints = dict.fromkeys(error.hint for error in wrong if error.hint)
        raise RunConfigError(
            "\n".join(error.message for error in wrong), hint="\n".join(hints)
        ) from wrong[0]
    try:
        return dict(flat) if flatten else unflatten_dict(flat)
    except TypeError as error:
        raise RunConfigError(f"{option}: {error}") from error


def _read_file(
    path: Path, option: str, known: Collection[str] | None, *, flatten: bool
) -> dict[str, Any]:
    """Return what a TOML file says; all that is wrong is listed with its lines."""
    document = read_toml(path)
    problems = Problems(document)
    flat = read_values(document.data, problems.add)
    valid = flat if known is None else known
    for key in (key for key in flat if key not in valid):
        problems.add(key.split("."), f"unknown key; {suggestion(key, valid)}".rstrip("; "))
    if problems.found:
        raise RunConfigError(f"{option}: {problems.text('settings')}")
    return dict(flat) if flatten else unflatten_dict(flat)


def _parse(text: str, option: str) -> UserConfig:
    """Return what one text of pairs says, with dotted keys."""
    import tomllib

    lines = []
    wrong: list[tuple[str, str]] = []  # pairs, and how to write each
    position = 0
    while text[position:].strip():
        match = _PAIR.match(text, position)
        if match is None:
            rest = text[position:].strip()
            wrong.append((rest, _advice(rest)))
            break
        key, value = match["key"], match["value"]
        try:
            tomllib.loads(f"{key} = {value}")
        except tomllib.TOMLDecodeError:
            wrong.append((match[0].strip(), _advice_for_value(key, value, option)))
        lines.append(f"{key} = {value}")
        position = match.end()
    if wrong:
        pairs = " and ".join(repr(pair) for pair, _ in wrong)
        advice = "\n".join(dict.fromkeys(advice for _, advice in wrong))
        raise RunConfigError(f"{option}: cannot read {pairs} in {text!r}", hint=advice)
    try:
        nested = tomllib.loads("\n".join(lines))
    except tomllib.TOMLDecodeError as error:
        reason = str(error).split(" (at line")[0]
        raise RunConfigError(
            f"{option}: {text!r} contradicts itself: {reason}", hint="Give each key once."
        ) from error
    bad_values: list[str] = []
    flat = read_values(nested, lambda key, why: bad_values.append(f"'{'.'.join(key)}': {why}"))
    if bad_values:
        raise RunConfigError(f"{option} {text!r}: " + "; ".join(bad_values))
    return flat


def _advice(rest: str) -> str:
    """Say what to do about text that is no pair at all."""
    if re.match(r"""[\w.-]+\s*=\s*["']""", rest):
        return "The quotes do not match; " + _FORM + "."
    return _FORM[0].upper() + _FORM[1:] + "."


def _advice_for_value(key: str, value: str, option: str) -> str:
    """Say how to write a value that is not TOML."""
    if "," in value and "=" in value:
        return "Separate pairs by blanks, not commas: " + value_pairs(key, value) + "."
    if value.lower() in ("true", "false"):
        return f"Write true and false in lower case: {key}={value.lower()}."
    if re.fullmatch(r"[+-]?\.\d+|[+-]?\d+\.", value):
        return f"Write digits on both sides of the point: {key}={float(value)}."
    quoted = f"{option} '{key}=\"{value}\"'"
    return f"Text needs quotes, and quote the whole for the shell, as in {quoted}."


def value_pairs(key: str, value: str) -> str:
    """Return ``key=value`` text with commas between pairs made blanks."""
    return re.sub(r"\s*,\s*", " ", f"{key}={value}")
