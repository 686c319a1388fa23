"""The pages of docs/reference say what the code does."""

import re
from pathlib import Path

import pytest

from flwr import errors
from flwr.cli import checks
from flwr.cli.output import error_code
from flwr.cli.reference import commands, markdown
from flwr.errors import FlwrError, LinkError, RefusedError
from flwr.transport.call import Failure, Refusal

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "docs" / "reference"


def test_the_reference_of_commands_is_today_s() -> None:
    assert (PAGES / "commands.md").read_text() == markdown(), (
        "commands have changed: python -m flwr.cli.reference > docs/reference/commands.md"
    )


def test_every_option_stands_in_the_reference() -> None:
    sections = (PAGES / "commands.md").read_text().split("\n## `flwr ")
    for words, command in commands():
        (section,) = [each for each in sections if re.match(rf"{words}[ `]", each)]
        for option in (each for each in command.params if each.param_type_name == "option"):
            for name in option.opts:
                assert f"`{name}`" in section, f"flwr {words} {name}"


def test_every_variable_that_the_code_reads_is_documented_and_no_other() -> None:
    not_variables = {"FLWR_DIR"}  # a constant of old
    quoted = re.compile(r"""["'](FLWR_[A-Z0-9_]+)["']""")
    events = re.compile(r"FLWR_\w+_RUN_(ENTER|LEAVE)")
    used = {
        name
        for file in (ROOT / "src" / "flwr").rglob("*.py")
        for name in quoted.findall(file.read_text())
        if name not in not_variables and not events.fullmatch(name)
    }
    page = (PAGES / "environment.md").read_text()
    read, _, idle = page.partition("## Accepted, without effect")
    assert set(re.findall(r"`(FLWR_[A-Z0-9_]+)`", read)) == used
    assert not set(re.findall(r"`(FLWR_[A-Z0-9_]+)`", idle)) & used
    assert {f"FLWR_{name}" for name in checks.READ} == used  # flwr doctor knows them as well
    assert {f"FLWR_{name}" for name in checks.IDLE} == set(re.findall(r"`(FLWR_[A-Z0-9_]+)`", idle))


def test_every_error_code_is_documented() -> None:
    kinds = [each for each in vars(errors).values() if isinstance(each, type)]
    codes = {"usage", "interrupted", "unexpected"}
    for kind in kinds:
        if issubclass(kind, RefusedError):
            codes |= {error_code(RefusedError(code, "m")) for code in Refusal}
        elif issubclass(kind, FlwrError):
            codes.add(error_code(kind("m")))
    codes |= {error_code(LinkError("m", code=code)) for code in Failure}
    page = (PAGES / "json.md").read_text()
    missing = sorted(code for code in codes if f"`{code}`" not in page)
    assert not missing


@pytest.mark.parametrize("name", ["commands", "environment", "json", "exit-codes"])
def test_the_pages_are_linked(name: str) -> None:
    assert f"reference/{name}\n" in (ROOT / "docs" / "index.md").read_text()
