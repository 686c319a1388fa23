"""Every documented public name is there with upstream's signature, or is listed as not there yet.

`upstream-1.41.json` was made by `take_snapshot.py`; what only 1.18 has is written below by hand.
"""

import importlib
import importlib.util
import inspect
import json
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

import pytest

UPSTREAM: dict[str, dict[str, dict[str, Any]]] = json.loads(
    (Path(__file__).parent / "upstream-1.41.json").read_text()
)

# Names that come with later work. Nothing stands in their place: that they are absent is tested.
NOT_THERE_YET: dict[str, set[str]] = {
    "flwr": {"client", "common", "server"},
    "flwr.simulation": {"SimulationIoConnection", "run_simulation_process", "start_simulation"},
}
MODULES_NOT_THERE_YET = ["flwr.client", "flwr.common", "flwr.server"]

ONLY_IN_1_18 = [("flwr.app", "MessageType", "SYSTEM", "system")]


# Names of ours in modules of upstream's.
BEYOND = {
    "flwr.clientapp.mod": {"make_ffn"},
    "flwr.serverapp": {"GaussianAccountant", "artifacts_dir", "checkpoint"},
}

THERE = [
    (module, name)
    for module, names in UPSTREAM.items()
    for name in names
    if name not in NOT_THERE_YET.get(module, ())
]
ABSENT = [(module, name) for module, names in NOT_THERE_YET.items() for name in sorted(names)]


def ours(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def parse(text: str) -> Signature:
    """Read a signature as the snapshot writes it."""
    scope: dict[str, Any] = {}
    exec(f"def function{text}: ...", scope)
    return inspect.signature(scope["function"])


def refusals(mine: Signature, theirs: Signature) -> list[str]:
    """Say which calls that upstream accepts this signature would not."""
    found = []
    have = mine.parameters
    kinds = {parameter.kind for parameter in have.values()}
    places = [n for n, p in have.items() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    for place, (name, wanted) in enumerate(theirs.parameters.items()):
        if wanted.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
            if wanted.kind not in kinds:
                found.append(f"no {wanted}")
            continue
        got = have.get(name)
        if wanted.kind is not Parameter.KEYWORD_ONLY and places[place : place + 1] != [name]:
            found.append(f"{name!r} is not at place {place}")
        elif wanted.kind is not Parameter.POSITIONAL_ONLY and (
            got is None or got.kind is Parameter.POSITIONAL_ONLY
        ):
            found.append(f"{name!r} is no keyword")
        elif wanted.default is not Parameter.empty and got is not None:
            if got.default is Parameter.empty:
                found.append(f"{name!r} is required")
            elif wanted.default is not ... and got.default != wanted.default:
                found.append(f"{name!r} is {got.default!r} by default, not {wanted.default!r}")
    found += [
        f"{name!r} is required, upstream does not have it"
        for name, parameter in have.items()
        if name not in theirs.parameters
        and parameter.default is Parameter.empty
        and parameter.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
    ]
    return found


@pytest.mark.parametrize(
    ("mine", "expected"),
    [
        ("(a, b=1)", []),
        ("(a, b=1, c=2, *, d=None)", []),
        ("(b=1, a=None)", ["'a' is not at place 0", "'b' is not at place 1"]),
        ("(a, *, b=1)", ["'b' is not at place 1"]),
        ("(a, b=2)", ["'b' is 2 by default, not 1"]),
        ("(a, b)", ["'b' is required"]),
        ("(a, b=1, *, c)", ["'c' is required, upstream does not have it"]),
    ],
)
def test_signatures_are_compared_by_the_calls_they_accept(mine: str, expected: list[str]) -> None:
    assert refusals(parse(mine), parse("(a, b=1)")) == expected


@pytest.mark.parametrize(("module", "name"), THERE)
def test_public_name_is_there_and_of_the_same_kind(module: str, name: str) -> None:
    kind = UPSTREAM[module][name]["kind"]
    thing = ours(module, name)
    assert inspect.ismodule(thing) == (kind == "module")
    assert inspect.isclass(thing) == (kind == "class")
    assert inspect.isfunction(thing) == (kind == "function")
    if kind == "value":
        assert thing == UPSTREAM[module][name]["value"]


@pytest.mark.parametrize(
    ("module", "name"), [at for at in THERE if UPSTREAM[at[0]][at[1]].get("signature")]
)
def test_every_call_that_upstream_accepts_is_accepted(module: str, name: str) -> None:
    theirs = parse(UPSTREAM[module][name]["signature"])
    assert refusals(inspect.signature(ours(module, name)), theirs) == []


@pytest.mark.parametrize(
    ("module", "name", "member"),
    [
        (module, name, member)
        for module, name in THERE
        for member in UPSTREAM[module][name].get("members", ())
    ],
)
def test_member_is_there_with_its_signature(module: str, name: str, member: str) -> None:
    cls = ours(module, name)
    expected = UPSTREAM[module][name]["members"][member]
    if isinstance(expected, str) and expected.startswith("("):
        assert refusals(inspect.signature(getattr(cls, member)), parse(expected)) == []
    elif expected == "property":
        assert isinstance(inspect.getattr_static(cls, member), property) or not callable(
            getattr(cls, member)
        )
    else:
        assert getattr(cls, member) == expected


@pytest.mark.parametrize(
    ("module", "name"), [at for at in THERE if UPSTREAM[at[0]][at[1]].get("abstract")]
)
def test_a_subclass_written_for_upstream_can_be_made_here(module: str, name: str) -> None:
    assert set(ours(module, name).__abstractmethods__) <= set(UPSTREAM[module][name]["abstract"])


@pytest.mark.parametrize(("module", "cls", "member", "value"), ONLY_IN_1_18)
def test_what_only_1_18_has_is_there_too(module: str, cls: str, member: str, value: str) -> None:
    assert getattr(ours(module, cls), member) == value


@pytest.mark.parametrize(("module", "name"), ABSENT)
def test_what_is_not_there_yet_is_really_absent(module: str, name: str) -> None:
    assert name in UPSTREAM[module], "not a name of upstream: nothing to wait for"
    assert not hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize("module", MODULES_NOT_THERE_YET)
def test_module_that_is_not_there_yet_is_really_absent(module: str) -> None:
    assert importlib.util.find_spec(module) is None


@pytest.mark.parametrize("module", [m for m in UPSTREAM if m != "flwr.serverapp.exception"])
def test_all_lists_exactly_the_names_that_are_there(module: str) -> None:
    expected = {name for at, name in THERE if at == module} | BEYOND.get(module, set())
    listed = importlib.import_module(module).__all__
    assert set(listed) == expected
    assert len(listed) == len(expected)
