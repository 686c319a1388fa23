"""The reference of commands, made from the commands: ``python -m flwr.cli.reference``."""

import sys
from collections.abc import Iterator
from typing import Any

_HEAD = """\
# Commands

Every command of `flwr`, its arguments and its options. This page is made from the code
(`python -m flwr.cli.reference > docs/reference/commands.md`). What the commands do, and how they
find their place, is told in [the command line](../command-line.md); the servers' options are in
[the servers](../deployment/commands.md).

`flwr --version` (`-V`) prints the version. `-h` or `--help` explains a command.
`flwr --install-completion` has the shell (bash, zsh, fish) complete commands, options, connections,
run ids and frameworks; `flwr --show-completion` prints what would be installed.
"""


def commands() -> Iterator[tuple[str, Any]]:
    """Yield each command that users see: its words behind ``flwr``, and the library's object."""
    import typer

    from flwr.cli.commands import app

    yield from _below("", typer.main.get_command(app))


def _below(path: str, group: Any) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if command.hidden:
            continue
        words = f"{path} {name}".strip()
        if hasattr(command, "commands"):
            yield from _below(words, command)
        else:
            yield words, command


def markdown() -> str:
    """Return the page."""
    return _HEAD + "".join(_section(words, command) for words, command in commands())


def _section(words: str, command: Any) -> str:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option"]
    usage = " ".join(["flwr", words, *map(_usage, arguments)])
    lines = [f"\n## `{usage}`\n", f"{(command.help or '').strip()}\n"]
    rows = [(f"`{each.name.upper()}`", _help(each)) for each in arguments if each.help]
    rows += [(_names(each), _help(each)) for each in options]
    if rows:
        lines += ["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows), ""]
    return "\n".join(lines)


def _usage(argument: Any) -> str:
    name = str(argument.name).upper()
    return name if argument.required else f"[{name}]"


def _names(option: Any) -> str:
    names = ", ".join(f"`{name}`" for name in sorted(option.opts, key=len))
    if option.secondary_opts:
        names += " or " + ", ".join(f"`{name}`" for name in option.secondary_opts)
    return names


def _help(parameter: Any) -> str:
    text = str(parameter.help or "").replace("|", "\\|").strip()
    if parameter.param_type_name == "option" and parameter.required:
        text += " Required."
    if getattr(parameter, "multiple", False):
        text += " May be given several times."
    return text


if __name__ == "__main__":
    sys.stdout.write(markdown())
