"""What ``pyproject.toml`` must and should say for an app to be made into a bundle."""

from typing import Any

from flwr.config.toml import Document, Problems

LICENSES = ("LICENSE", "LICENSE.md")  # of format 1
RECOMMENDED = ("description", "license")
_APP = ("tool", "flwr", "app")
_FORMAT = (*_APP, "fab-format-version")
_TARGET = (*_APP, "flwr-version-target")
_DEPENDENCIES = ("project", "dependencies")
_LICENSE = ("project", "license")


def check(document: Document) -> None:
    """Check what a FAB needs beside what every app needs.

    Format 1 wants a licence file, one requirement of ``flwr`` with a lower bound, and the version
    that the app is made for. Format 0, the default, wants nothing of that.

    Raises
    ------
    ConfigError
        With all problems, each with line and key.
    """
    problems = Problems(document)
    for key in ((*_APP, "publisher"), ("project", "version")):
        value = document.get(*key)
        if any(mark in value for mark in "/\\\0") or not value.isprintable():
            problems.add(key, f"{value!r} cannot be part of a file's name")
    version = document.get(*_FORMAT)
    if version is not None and (type(version) is not int or version < 0):
        problems.add(_FORMAT, f"must be 0 or 1; it is {version!r}")
    elif version == 1:
        _check_license(problems)
        _check_target(problems)
    elif version:
        problems.add(_FORMAT, f"there is no format {version}; use 0 or 1")
    problems.raise_if_any("app configuration")


def missing(document: Document) -> tuple[str, ...]:
    """Return the recommended keys of ``[project]`` that are not there."""
    return tuple(key for key in RECOMMENDED if not document.get("project", key))


def license_file(document: Document) -> str | None:
    """Return the licence file that must be in the FAB; None for format 0."""
    if document.get(*_FORMAT) != 1:
        return None
    return str(document.get(*_LICENSE, "file"))


def _check_license(problems: Problems) -> None:
    value = problems.document.get(*_LICENSE)
    if not isinstance(value, dict) or value.get("file") not in LICENSES:
        problems.add(
            _LICENSE,
            f'format 1 needs {{file = "LICENSE"}} or {{file = "LICENSE.md"}}; is {value!r}',
        )


def _check_target(problems: Problems) -> None:
    """Check the required version of ``flwr`` and the one that the app is made for."""
    from packaging.version import InvalidVersion, Version

    target: Any = problems.document.get(*_TARGET)
    version = None
    if target is None:
        problems.add(_TARGET, 'is missing; format 1 needs a version such as "1.41.0"')
    elif not isinstance(target, str):
        problems.add(_TARGET, f"must be a text; it is {target!r}")
    else:
        try:
            version = Version(target)
        except InvalidVersion:
            problems.add(_TARGET, f"'{target}' is no version")
    requirement = _flwr_requirement(problems)
    if version is None or requirement is None:
        return
    if not requirement.specifier.contains(version):
        problems.add(_TARGET, f"{version} is none that '{requirement}' of the dependencies allows")


def _flwr_requirement(problems: Problems) -> Any:
    """Return the requirement of ``flwr`` if there is one with a lower bound; note what is wrong."""
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    found = []
    dependencies = problems.document.get(*_DEPENDENCIES)
    for text in dependencies if isinstance(dependencies, list) else ():
        try:
            requirement = Requirement(text)
        except (InvalidRequirement, TypeError) as error:
            problems.add(_DEPENDENCIES, f"{text!r} is no requirement: {str(error).splitlines()[0]}")
            continue
        if canonicalize_name(requirement.name) == "flwr":
            found.append(requirement)
    if len(found) != 1:
        problems.add(_DEPENDENCIES, f"format 1 needs flwr once; it is there {len(found)} times")
        return None
    (requirement,) = found
    if not any(clause.operator == ">=" for clause in requirement.specifier):
        problems.add(
            _DEPENDENCIES,
            f"format 1 needs a lower bound of flwr with '>='; the requirement is '{requirement}'",
        )
        return None
    return requirement
