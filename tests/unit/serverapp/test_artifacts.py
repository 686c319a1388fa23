from pathlib import Path

import pytest

from flwr.serverapp import artifacts_dir


def test_the_folder_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLWR_ARTIFACTS_DIR", str(tmp_path / "run" / "artifacts"))
    assert artifacts_dir() == tmp_path / "run" / "artifacts"
    assert artifacts_dir().is_dir()


def test_outside_a_run_it_is_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLWR_ARTIFACTS_DIR", raising=False)
    monkeypatch.chdir(tmp_path)
    assert artifacts_dir().resolve() == (tmp_path / "artifacts").resolve()
    assert (tmp_path / "artifacts").is_dir()
