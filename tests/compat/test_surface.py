"""Every documented public name is there with upstream's signature, or with a listed difference.

`upstream-1.41.json` and `upstream-1.18.json` were made by `take_snapshot.py`.
"""

import importlib
import inspect
import json
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

import pytest

Surface = dict[str, dict[str, dict[str, Any]]]
UPSTREAM: dict[str, Surface] = {
    version: json.loads((Path(__file__).parent / f"upstream-{version}.json").read_text())
    for version in ("1.18", "1.41")
}

# What differs on purpose, and why: a name, or a member of a class. That it is there is tested.
OTHERWISE: dict[tuple[str, ...], str] = {
    ("flwr.common.constant", "TIMESTAMP_TOLERANCE"): "10 in 1.18, 300 in 1.41 and here",
    ("flwr.common.logger", "ConsoleHandler"): "in colour on terminals only, by default",
    ("flwr.common.typing", "Run", "create_empty"): "upstream's processes make runs, apps do not",
    **{
        (module, name, "set_run"): "1.41's argument; processes of the framework call it"
        for module in ("flwr.server", "flwr.server.grid")
        for name in ("Driver", "Grid")
    },
    ("flwr.server.workflow.default_workflows", "default_centralized_evaluation_workflow"): (
        "its first parameter is called `grid`, not `_`"
    ),
    ("flwr.simulation", "SimulationIoConnection"): "1.41's arguments",
    ("flwr.simulation", "run_simulation_process"): "1.41's arguments",
}
# Names that say when they are used that they come later: their members and fields come with them.
LATER = {"SecAggPlusWorkflow", "SecAggWorkflow", "WorkflowState"}

# Names of ours in modules of upstream's.
BEYOND = {
    "flwr.clientapp.mod": {"make_ffn"},
    "flwr.serverapp": {"GaussianAccountant", "artifacts_dir", "checkpoint"},
}
# Where `__all__` is what both versions list together.
MODULES_WITH_ALL = [
    *["flwr", "flwr.app", "flwr.client", "flwr.client.mod", "flwr.clientapp"],
    *["flwr.clientapp.mod", "flwr.clientapp.typing", "flwr.common", "flwr.common.record"],
    *["flwr.server", "flwr.server.compat", "flwr.server.strategy", "flwr.server.utils"],
    *["flwr.server.workflow", "flwr.serverapp", "flwr.serverapp.strategy", "flwr.simulation"],
]

THERE = [
    (version, module, name)
    for version, surface in UPSTREAM.items()
    for module, names in surface.items()
    for name in names
]


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
        here = places[place : place + 1] == [name]
        if wanted.kind is not Parameter.KEYWORD_ONLY and not (
            here or (Parameter.VAR_POSITIONAL in kinds and place >= len(places))
        ):
            found.append(f"{name!r} is not at place {place}")
        elif wanted.kind is not Parameter.POSITIONAL_ONLY and (
            got.kind is Parameter.POSITIONAL_ONLY if got else Parameter.VAR_KEYWORD not in kinds
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
        ("(*args, **kwargs)", []),
        ("(a, *args)", ["'b' is no keyword"]),
    ],
)
def test_signatures_are_compared_by_the_calls_they_accept(mine: str, expected: list[str]) -> None:
    assert refusals(parse(mine), parse("(a, b=1)")) == expected


@pytest.mark.parametrize(("version", "module", "name"), THERE)
def test_public_name_is_there_and_of_the_same_kind(version: str, module: str, name: str) -> None:
    kind = UPSTREAM[version][module][name]["kind"]
    thing = ours(module, name)
    assert inspect.ismodule(thing) == (kind == "module")
    assert inspect.isclass(thing) == (kind == "class")
    assert inspect.isfunction(thing) == (kind == "function")
    if kind == "value" and (module, name) not in OTHERWISE:
        assert thing == UPSTREAM[version][module][name]["value"]


@pytest.mark.parametrize(
    ("version", "module", "name"),
    [
        (version, module, name)
        for version, module, name in THERE
        if UPSTREAM[version][module][name].get("signature") and (module, name) not in OTHERWISE
    ],
)
def test_every_call_that_upstream_accepts_is_accepted(version: str, module: str, name: str) -> None:
    theirs = parse(UPSTREAM[version][module][name]["signature"])
    assert refusals(inspect.signature(ours(module, name)), theirs) == []


@pytest.mark.parametrize(
    ("version", "module", "name", "member"),
    [
        (version, module, name, member)
        for version, module, name in THERE
        for member in UPSTREAM[version][module][name].get("members", ())
        if name not in LATER and (module, name, member) not in OTHERWISE
    ],
)
def test_member_is_there_with_its_signature(
    version: str, module: str, name: str, member: str
) -> None:
    cls = ours(module, name)
    expected = UPSTREAM[version][module][name]["members"][member]
    if isinstance(expected, str) and expected.startswith("("):
        assert refusals(inspect.signature(getattr(cls, member)), parse(expected)) == []
    elif expected == "property":
        assert isinstance(inspect.getattr_static(cls, member), property) or not callable(
            getattr(cls, member)
        )
    elif expected == "value":
        assert hasattr(cls, member)
    else:
        assert getattr(cls, member) == expected


@pytest.mark.parametrize(
    ("version", "module", "name"),
    [(v, m, n) for v, m, n in THERE if UPSTREAM[v][m][n].get("abstract")],
)
def test_a_subclass_written_for_upstream_can_be_made_here(
    version: str, module: str, name: str
) -> None:
    abstract = UPSTREAM[version][module][name]["abstract"]
    assert set(ours(module, name).__abstractmethods__) <= set(abstract)


@pytest.mark.parametrize("difference", OTHERWISE)
def test_a_listed_difference_is_one_of_a_name_of_upstream(difference: tuple[str, ...]) -> None:
    module, name, *member = difference
    described = [
        surface[module][name] for surface in UPSTREAM.values() if name in surface.get(module, ())
    ]
    assert described
    assert all(any(m in d["members"] for d in described) for m in member)


@pytest.mark.parametrize("module", MODULES_WITH_ALL)
def test_all_lists_exactly_the_names_of_both_versions(module: str) -> None:
    expected = {name for surface in UPSTREAM.values() for name in surface.get(module, ())}
    expected |= BEYOND.get(module, set())
    listed = importlib.import_module(module).__all__
    assert set(listed) == expected
    assert len(listed) == len(expected)
