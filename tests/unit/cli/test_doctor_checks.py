"""What the doctor makes of facts."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flwr.cli.checks import (
    IDLE,
    READ,
    Check,
    Hub,
    Machine,
    Roots,
    Simulation,
    of_hub,
    of_machine,
    of_place,
    of_simulation,
    step_of,
)
from flwr.config import Place, SimulationOptions
from flwr.errors import (
    AddressError,
    ConfigError,
    HomeError,
    RefusedError,
    StoreError,
    TlsError,
    UnreachableError,
)
from flwr.transport.call import Failure, Refusal
from flwr.transport.tls import Certificate

NOW = datetime(2026, 5, 1, tzinfo=UTC)
GIB = 1 << 30
MACHINE = Machine(
    python="3.11", packages={"flwr": "1", "numpy": "2"}, home="/h", disk_free=9 * GIB,
    database="none yet", configuration="none", open_files=(1024, 4096),
)  # fmt: skip
SIMULATION = Simulation(10, 2, "2 CPUs", "", 2, 0, 8 * GIB, memfd=True, shm=GIB)
CERTIFICATE = Certificate(("hub.example",), "Our CA", NOW, NOW + timedelta(days=300))
HUB = Hub(
    "hub.example:9093", ("192.0.2.1",), roots=Roots("/ca.crt", count=1), secure=True,
    certificate=CERTIFICATE, ahead=0.2, uncertain=0.01, disk_free=9 * GIB, online=3, live=1,
)  # fmt: skip
PAGE = Path(__file__).parents[3] / "docs" / "reference" / "environment.md"


def bad(checks: list[Check]) -> list[tuple[str, str]]:
    return [(check.name, check.status.value) for check in checks if check.status != "ok"]


def text(checks: list[Check]) -> str:
    return "\n".join(f"{check.message} {check.advice}" for check in checks)


def test_where_all_is_well_nothing_is_said_to_be_wrong() -> None:
    checks = [*of_machine(MACHINE), *of_simulation(SIMULATION), *of_hub(HUB, NOW)]
    assert bad(checks) == []
    assert [check.name for check in of_hub(HUB, NOW)] == [
        "root certificates", "address", "name", "port", "tls", "server", "certificate", "clock",
        "disk of the SuperLink", "nodes", "runs",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "name", "status", "said"),
    [
        ({"home_error": HomeError("no", hint="Set it")}, "home", "problem", "Set it"),
        ({"disk_free": GIB // 2}, "disk", "warning", "only 537 MB"),
        ({"configuration_error": ConfigError("line 3")}, "configuration", "problem", "line 3"),
        ({"database_error": StoreError("damaged")}, "database", "problem", "damaged"),
        ({"open_files": (256, 512)}, "open files", "warning", "256 files"),
        ({"packages": {"flwr": "1", "ray": "2"}}, "packages", "warning", "uninstall ray"),
        ({"environment": {"FLWR_HOM": "x"}}, "environment", "warning", "FLWR_HOME?"),
        ({"environment": {"FLWR_ZZZZ": "x"}}, "environment", "warning", "Unset it"),
        ({"environment": {"FLWR_LOG_LEVEL": "LOUD"}}, "environment", "warning", "no level"),
    ],
)
def test_what_is_wrong_with_a_machine(
    change: dict[str, object], name: str, status: str, said: str
) -> None:
    checks = of_machine(replace(MACHINE, **change))  # type: ignore[arg-type]
    assert bad(checks) == [(name, status)]
    assert said in text(checks)


@pytest.mark.parametrize("limits", [(256, 4096), (-1, -1), (1024, 1024), None])
def test_limits_of_open_files_that_do(limits: tuple[int, int] | None) -> None:
    assert bad(of_machine(replace(MACHINE, open_files=limits))) == []


@pytest.mark.parametrize("name", ["FLWR_HOME", "FLWR_LOG_LEVEL", "FLWR_TELEMETRY_ENABLED"])
def test_known_variables_are_no_problem(name: str) -> None:
    assert bad(of_machine(replace(MACHINE, environment={name: "DEBUG"}))) == []


def test_all_variables_of_the_page_are_known() -> None:
    named = set(re.findall(r"`FLWR_([A-Z_]+)`", PAGE.read_text()))
    assert named
    assert named <= {*READ, *IDLE}


@pytest.mark.parametrize(
    ("change", "name", "status"),
    [
        ({"misfit": "too many"}, "cpus", "problem"),
        ({"memory": 1000}, "memory", "warning"),
        ({"memfd": False}, "shared memory", "warning"),
        ({"shm": 64 << 20}, "shared memory", "warning"),
    ],
)
def test_what_is_wrong_with_a_simulation(change: dict[str, object], name: str, status: str) -> None:
    changed = replace(SIMULATION, **change)  # type: ignore[arg-type]
    assert bad(of_simulation(changed)) == [(name, status)]


def test_an_insecure_connection_is_warned_of() -> None:
    place = Place("hub", "h:1", SimulationOptions(), "named", insecure=True)
    assert bad(of_place(place)) == [("encryption", "warning")]
    assert bad(of_place(replace(place, insecure=False))) == []
    assert "in place" in text(of_place(replace(place, address=None)))


ERRORS = {
    "address": AddressError("m"),
    "name": UnreachableError("m", code=Failure.UNKNOWN_HOST),
    "port": UnreachableError("m", code=Failure.CONNECTION_REFUSED),
    "tls": TlsError("m", code=Failure.TLS_WRONG_NAME),
    "server": RefusedError(Refusal.WRONG_PORT, "m"),
}


@pytest.mark.parametrize("step", ERRORS)
def test_the_way_is_told_up_to_the_step_that_failed(step: str) -> None:
    way = ("address", "name", "port", "tls", "server")
    error = ERRORS[step]
    error.code = error.code or Failure.ADDRESS
    checks = of_hub(replace(HUB, error=error, certificate=None, ahead=None, roots=None), NOW)
    assert [check.name for check in checks] == list(way[: way.index(step) + 1])
    assert bad(checks) == [(step, "problem")]


@pytest.mark.parametrize("code", Failure)
def test_every_failure_has_its_step(code: Failure) -> None:
    assert step_of(UnreachableError("m", code=code)) in ("address", "name", "port", "tls", "server")


@pytest.mark.parametrize(
    ("change", "name", "status", "said"),
    [
        ({"ahead": 60.0}, "clock", "warning", "60s ahead of"),
        ({"ahead": -7200.0}, "clock", "warning", "2h 0m behind"),
        ({"disk_free": 1000}, "disk of the SuperLink", "warning", "only 1 kB"),
        ({"online": 0}, "nodes", "warning", "flower-supernode"),
        ({"waiting": (4, 5)}, "runs", "warning", "flwr why"),
        ({"roots": Roots("/c", ConfigError("gone"))}, "root certificates", "problem", "gone"),
        ({"roots": Roots("/c", open_to_all=True)}, "root certificates", "problem", "chmod"),
        ({"roots": Roots("/c", expired=("CA",))}, "root certificates", "warning", "CA"),
        (
            {"certificate": replace(CERTIFICATE, not_after=NOW + timedelta(days=3))},
            "certificate", "warning", "3d 0h",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_superlink(
    change: dict[str, object], name: str, status: str, said: str
) -> None:
    checks = of_hub(replace(HUB, **change), NOW)  # type: ignore[arg-type]
    assert bad(checks) == [(name, status)]
    assert said in text(checks)


def test_a_slow_answer_says_nothing_of_the_clock() -> None:
    assert bad(of_hub(replace(HUB, ahead=8.0, uncertain=5.0), NOW)) == []
