"""Each fault of the catalogue, as its user meets it: the command fails and names the cause."""

from collections.abc import Callable

import pytest
from bench import Bench, Terminal
from catalogue import CATALOGUE, Fault
from injections_into_apps import INJECTIONS as INTO_APPS
from injections_into_deployments import INJECTIONS as INTO_DEPLOYMENTS
from injections_into_machines import INJECTIONS as INTO_MACHINES

INJECTIONS: dict[str, Callable[[Bench], None]] = {**INTO_APPS, **INTO_DEPLOYMENTS, **INTO_MACHINES}


def test_each_fault_is_injected() -> None:
    assert len(CATALOGUE) >= 30
    assert {fault.name for fault in CATALOGUE} == set(INJECTIONS)


@pytest.mark.parametrize("fault", CATALOGUE, ids=lambda fault: fault.name)
def test_the_cause_is_named(
    fault: Fault, bench: Bench, record_property: Callable[[str, object], None]
) -> None:
    record_property("fault", f"{fault.name:28} {fault.where:11}")
    INJECTIONS[fault.name](bench)
    terminal = bench.terminal
    assert terminal is not None
    code = terminal.end()
    assert code not in (0, None), terminal.text
    seconds = [named(terminal, cause) for cause in fault.causes[: fault.within]]
    for cause in fault.causes[fault.within :]:  # at the end of what is waited for
        named(terminal, cause)
    record_property("named after", max(seconds))


def named(terminal: Terminal, cause: str) -> float:
    seconds = terminal.named_after(cause)
    assert seconds is not None, f"{cause!r} is not in:\n{terminal.text}"
    return seconds
