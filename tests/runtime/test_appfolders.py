"""Unpacked apps: those that runs brought go when they are many, but never one in use."""

import os
from pathlib import Path

import pytest
from processes import fab_of

from flwr.runtime import appfolders, fab


@pytest.fixture
def fabs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    monkeypatch.setattr(appfolders, "MOST_APPS", 2)
    return [fab_of(tmp_path / f"app{number}", f"app = {number}\n") for number in range(5)]


def test_the_apps_that_were_used_last_stay(fabs: list[bytes], tmp_path: Path) -> None:
    apps = tmp_path / "apps"
    folders = []
    for at, content in enumerate(fabs[:3]):
        lease = appfolders.lease(content, apps)
        folders.append(lease.app.app_dir)
        os.utime(folders[at] / ".info/LEASE", (at, at))
        lease.close()
    appfolders.lease(fabs[1], apps).close()
    assert sorted(apps.iterdir()) == sorted(folders[1:])
    appfolders.lease(fabs[3], apps).close()
    assert folders[1] in apps.iterdir()
    assert folders[2] not in apps.iterdir()
    again = appfolders.lease(fabs[2], apps)
    assert again.app.app_dir == folders[2]
    assert (folders[2] / "pyproject.toml").exists()
    again.close()


def test_an_app_in_use_and_an_installed_one_stay(fabs: list[bytes], tmp_path: Path) -> None:
    apps = tmp_path / "apps"
    installed = fab.unpack(fabs[0], apps).app_dir
    used = appfolders.lease(fabs[1], apps)
    os.utime(used.app.app_dir / ".info/LEASE", (1, 1))
    also_installed = appfolders.lease(fabs[2], apps)
    appfolders.keep(also_installed.app.app_dir)
    also_installed.close()
    appfolders.lease(fabs[0], apps).close()
    for content in (fabs[3], fabs[4], fabs[3], fabs[4]):
        appfolders.lease(content, apps).close()
    assert {installed, used.app.app_dir, also_installed.app.app_dir} <= set(apps.iterdir())
    used.close()
    appfolders.lease(fabs[3], apps).close()
    assert used.app.app_dir not in apps.iterdir()
    assert len(list(apps.iterdir())) == 4
