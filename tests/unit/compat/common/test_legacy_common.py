"""What else is in `flwr.common`: configurations, dates, telemetry, names that were renamed."""

import datetime
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flwr
from flwr import common
from flwr.app import Array, ConfigRecord
from flwr.common import EventType, config, date, typing, version
from flwr.errors import FabError
from flwr.runtime import fabbuild

PROJECT = """
[project]
name = "my-app"
version = "1.2.3"
description = "d"
license = "Apache-2.0"

[tool.flwr.app]
publisher = "me"

[tool.flwr.app.components]
serverapp = "app:server"
clientapp = "app:client"

[tool.flwr.app.config]
lr = 0.1
opt.name = "sgd"
"""


@pytest.fixture
def app_dir(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "app.py").write_text("server = client = 1\n")
    return tmp_path


def test_a_project_is_read(app_dir: Path) -> None:
    read = config.get_project_config(app_dir)
    assert read["project"]["name"] == "my-app"
    assert config.get_project_config(str(app_dir)) == read
    assert config.get_metadata_from_config(read) == ("me/my-app", "1.2.3")
    assert config.validate_config(read, project_dir=app_dir) == (True, [], [])
    with pytest.raises(FileNotFoundError, match=r"Cannot find pyproject\.toml in "):
        config.get_project_config(app_dir / "other")


def test_a_bundle_is_read(app_dir: Path, tmp_path: Path) -> None:
    content = fabbuild.build(app_dir).content
    file = tmp_path / "app.fab"
    file.write_bytes(content)
    expected = config.get_project_config(app_dir)
    assert config.get_fab_config(content) == config.get_fab_config(file)
    assert config.get_fab_config(content)["project"] == expected["project"]
    with pytest.raises(FabError):
        config.get_fab_config(b"nonsense")


def test_run_configurations_are_fused(app_dir: Path) -> None:
    fused = config.get_fused_config_from_dir(app_dir, {"lr": 0.5})
    assert fused == {"lr": 0.5, "opt.name": "sgd"}
    assert config.unflatten_dict(fused) == {"lr": 0.5, "opt": {"name": "sgd"}}
    with pytest.raises(ValueError, match="Key 'zz' is not present"):
        config.get_fused_config_from_dir(app_dir, {"zz": 1})
    assert config.user_config_to_configrecord(fused) == ConfigRecord(fused)


def test_the_run_configuration_of_a_run(
    app_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    bundle = fabbuild.build(app_dir).content
    run = typing.Run(1, "me/my-app", "1.2.3", "abcdef0123456789", {"lr": 0.5})
    assert config.get_fused_config_from_fab(bundle, run) == {"lr": 0.5, "opt.name": "sgd"}
    assert config.get_fused_config(typing.Run(1)) == {}
    with pytest.raises(FileNotFoundError, match="Cannot find pyproject.toml"):
        config.get_fused_config(run)
    unpacked = config.get_project_dir("me/my-app", "1.2.3", "abcdef0123456789")
    unpacked.mkdir(parents=True)
    (unpacked / "pyproject.toml").write_text(PROJECT)
    assert config.get_fused_config(run) == {"lr": 0.5, "opt.name": "sgd"}
    assert config.get_fused_config(run, config.get_flwr_home())["lr"] == 0.5


def test_exceptions_of_processes_are_no_ordinary_ones() -> None:
    assert typing.InvalidRunStatusException("why").message == "why"
    for kind in (typing.InvalidRunStatusException, typing.RunNotRunningException):
        assert issubclass(kind, BaseException)
        assert not issubclass(kind, Exception)


def test_where_apps_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))
    assert config.get_flwr_dir() == tmp_path
    folder = config.get_project_dir("me/my-app", "1.2.3", "abcdef0123456789")
    assert folder == tmp_path / "apps" / "me.my-app.1.2.3.abcdef01"
    folder = config.get_project_dir("me/my-app", "1.2.3", "abcdef0123456789", "/elsewhere")
    assert folder == Path("/elsewhere/apps/me.my-app.1.2.3.abcdef01")
    with pytest.raises(ValueError, match="Invalid FAB ID: bad"):
        config.get_project_dir("bad", "1", "x")


def without(path: str) -> dict[str, Any]:
    """The project without one of its values."""
    import tomllib

    read: dict[str, Any] = tomllib.loads(PROJECT)
    *tables, last = path.split(".")
    inner = read
    for table in tables:
        inner = inner[table]
    del inner[last]
    return read


@pytest.mark.parametrize(
    ("path", "errors"),
    [
        ("project", ["Missing [project] section"]),
        ("project.name", ['Property "name" missing in [project]']),
        ("project.version", ['Property "version" missing in [project]']),
        ("tool", ["Missing [tool.flwr.app] section"]),
        ("tool.flwr.app", ["Missing [tool.flwr.app] section"]),
        ("tool.flwr.app.publisher", ['Property "publisher" missing in [tool.flwr.app]']),
        ("tool.flwr.app.components", ["Missing [tool.flwr.app.components] section"]),
        (
            "tool.flwr.app.components.serverapp",
            ['Property "serverapp" missing in [tool.flwr.app.components]'],
        ),
        ("tool.flwr.app.config", []),
    ],
)
def test_what_is_missing_is_named(path: str, errors: list[str]) -> None:
    assert config.validate_config(without(path), check_module=False) == (not errors, errors, [])


def test_what_could_be_better_is_told() -> None:
    warnings = ['Recommended property "license" missing in [project]']
    given = config.validate_fields_in_config(without("project.license"))
    assert given == (True, [], warnings)


def test_wrong_values_are_errors(app_dir: Path) -> None:
    read = config.get_project_config(app_dir)
    read["tool"]["flwr"]["app"]["config"]["lr"] = [1]
    valid, errors, _ = config.validate_config(read, check_module=False)
    assert not valid
    assert "'lr'" in errors[0]
    read = config.get_project_config(app_dir)
    read["tool"]["flwr"]["app"]["components"]["serverapp"] = "app"
    valid, errors, _ = config.validate_config(read, check_module=False)
    assert (valid, errors) == (False, ["serverapp: Missing attribute in app"])
    read["tool"]["flwr"]["app"]["components"]["serverapp"] = "nowhere:app"
    valid, errors, _ = config.validate_config(read, project_dir=app_dir)
    assert not valid
    assert errors[0].startswith("serverapp: there is no module 'nowhere'")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "00:00:00"), (5.4, "00:00:05"), (3661, "01:01:01"), (1e6, "11d 13:46:40")],
)
def test_durations_become_text(seconds: float, text: str) -> None:
    assert date.format_timedelta(datetime.timedelta(seconds=seconds)) == text


def test_times_become_text_if_they_are_in_utc() -> None:
    time = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.UTC)
    assert date.isoformat8601_utc(time) == "2026-01-02T03:04:05Z"
    assert date.now().utcoffset() == datetime.timedelta()
    east = datetime.timezone(datetime.timedelta(hours=2))
    for other in (time.replace(tzinfo=None), time.astimezone(east)):
        with pytest.raises(ValueError, match="timezone set to UTC"):
            date.isoformat8601_utc(other)


def test_telemetry_tells_nobody() -> None:
    assert common.event(EventType.PING, {"a": 1}).result(timeout=0) == "disabled"
    assert all(event.value == event.name for event in EventType)
    assert EventType("RUN_SUPERLINK_ENTER") is EventType.RUN_SUPERLINK_ENTER


def test_array_from_numpy_is_deprecated(caplog: pytest.LogCaptureFixture) -> None:
    assert common.array_from_numpy(np.ones(2)) == Array(np.ones(2))
    assert caplog.messages[0].startswith("DEPRECATED FEATURE: `array_from_numpy`")


def test_the_version_is_that_of_the_package() -> None:
    assert (version.package_name, version.package_version) == ("flwr", flwr.__version__)


def test_what_apps_found_by_accident_is_there() -> None:
    assert (typing.Dict.__origin__, typing.Tuple.__origin__) == (dict, tuple)
    assert typing.Optional[int] == int | None
    assert typing.np is np


def test_a_damaged_bundle_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "app.fab"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.txt", "text")
    with pytest.raises(FabError):
        config.get_fab_config(file)
