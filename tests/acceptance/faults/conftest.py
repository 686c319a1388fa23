"""A bench for each fault, one deployment for those that need one, and the score."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "deployment"))  # has the processes to start

from bench import Bench
from catalogue import CATALOGUE, SECONDS
from deployed import Deployment


@pytest.fixture
def bench(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """Return what a fault is injected with."""
    bench = Bench(tmp_path, request)
    yield bench
    bench.close()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Return a hub with two nodes."""
    deployment = Deployment(tmp_path_factory.mktemp("shared"))
    try:
        deployment.start_hub()
        for index in range(2):
            deployment.start_node(index, 2)
        yield deployment
    finally:
        deployment.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was named, and how fast."""
    seconds: dict[str, float] = {}
    for report in terminalreporter.getreports("passed"):
        seconds |= {key: value for key, value in report.user_properties if key.startswith("fault ")}
    if not seconds:
        return
    say = terminalreporter.write_line
    terminalreporter.section("faults")
    for fault in CATALOGUE:
        took = seconds.get(f"fault {fault.name}")
        verdict = "not run, or not named" if took is None else f"{took:5.1f} s"
        say(f"{fault.name:28} {fault.where:11} {verdict}")
    late = [name for name, took in seconds.items() if took > SECONDS]
    say(
        f"{len(seconds)} of {len(CATALOGUE)} named, slowest {max(seconds.values()):.1f} s"
        + (f"; later than {SECONDS:g} s: {', '.join(late)}" if late else "")
    )
