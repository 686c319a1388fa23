"""The options of ``flower-superlink``: all of both versions, none ignored in silence."""

import logging
import os
import socket
import sqlite3
from pathlib import Path

import pytest
import trustme

from flwr.cli import flower_superlink
from flwr.cli.flower_superlink import read_settings
from flwr.errors import AddressError, SettingsError
from flwr.superlink.settings import Isolation, Service, Settings


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path))


def settings(*arguments: str) -> Settings:
    return read_settings(flower_superlink._parser().parse_args(arguments))


def listening(*arguments: str) -> dict[str, list[str]]:
    """Return what is served at which address."""
    return {
        str(port.address): [service.value for service in port.services]
        for port in settings("--insecure", *arguments).ports
    }


def test_each_protocol_has_its_own_port_on_all_interfaces() -> None:
    assert listening() == {
        "0.0.0.0:9091": ["app"], "0.0.0.0:9092": ["fleet"], "0.0.0.0:9093": ["control"],
    }  # fmt: skip


@pytest.mark.parametrize("control", ["--control-api-address", "--exec-api-address"])
def test_every_address_binds(control: str) -> None:
    assert listening(
        "--serverappio-api-address=127.0.0.1:1", "--fleet-api-address=[::1]:2", f"{control}=h:3",
        "--simulationio-api-address=127.0.0.1:4", "--health-server-address=127.0.0.1:5",
    ) == {
        "127.0.0.1:1": ["app"], "[::1]:2": ["fleet"], "h:3": ["control"], "127.0.0.1:4": ["app"],
        "127.0.0.1:5": [],
    }  # fmt: skip


def test_one_port_may_serve_all() -> None:
    everything = [service.value for service in Service]
    assert listening("--host=127.0.0.1") == {"127.0.0.1:8000": everything}
    assert listening("--port=7000") == {"127.0.0.1:7000": everything}
    assert listening("--port=0") == {"127.0.0.1:0": everything}
    assert listening("--port=7000", "--fleet-api-address=0.0.0.0:9092") == {
        "127.0.0.1:7000": everything, "0.0.0.0:9092": ["fleet"],
    }  # fmt: skip


def test_the_old_rest_api_has_its_old_port(caplog: pytest.LogCaptureFixture) -> None:
    assert "0.0.0.0:9095" in listening("--fleet-api-type=rest")
    assert "--fleet-api-type" in caplog.text


def test_an_address_that_cannot_be_read_is_named() -> None:
    with pytest.raises(AddressError, match="nowhere:x"):
        listening("--fleet-api-address=nowhere:x")


def test_without_certificates_or_insecure_it_does_not_start() -> None:
    with pytest.raises(SettingsError, match="--ssl-certfile, --ssl-keyfile, --ssl-ca-certfile"):
        settings()


def test_some_of_the_certificates_are_not_enough(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="missing: --ssl-keyfile, --ssl-ca-certfile"):
        settings(f"--ssl-certfile={tmp_path}/a")


def test_certificates_and_insecure_contradict_each_other(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="contradict"):
        settings("--insecure", f"--ssl-keyfile={tmp_path}/a")


def test_simulations_are_asked_for_in_both_ways() -> None:
    assert not settings("--insecure").simulation
    assert settings("--insecure", "--simulation").simulation
    old = ["--executor", "flwr.superexec.simulation:executor"]
    given = settings("--insecure", *old, "--executor-config", "num-supernodes=5")
    assert given.simulation
    assert given.simulation_options == {"num-supernodes": 5}
    assert not settings("--insecure", "--executor", "flwr.superexec.deployment:executor").simulation


def test_an_executor_that_is_none_is_refused() -> None:
    with pytest.raises(SettingsError, match="no executor 'mine'"):
        settings("--insecure", "--executor=mine")
    with pytest.raises(SettingsError, match="--executor-config"):
        settings("--insecure", "--executor-config=num-supernodes=5")


@pytest.mark.parametrize("text", [":flwr-in-memory:", ":flwr-in-memory-state:", ":memory:"])
def test_a_database_in_memory_has_many_names(text: str) -> None:
    assert settings("--insecure", f"--database={text}").database is None


def test_a_database_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert settings("--insecure", "--database=state.db").database == tmp_path / "state.db"


def test_isolation() -> None:
    assert settings("--insecure").isolation is Isolation.SUBPROCESS
    assert settings("--insecure", "--isolation=process").isolation is Isolation.PROCESS


def test_every_option_is_in_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        flower_superlink.run(["--help"])
    text = capsys.readouterr().out
    for flag in (
        "--insecure", "--ssl-certfile", "--ssl-keyfile", "--ssl-ca-certfile", "--isolation",
        "--database", "--storage-dir", "--auth-list-public-keys", "--enable-supernode-auth",
        "--serverappio-api-address", "--fleet-api-type", "--fleet-api-address",
        "--fleet-api-num-workers", "--exec-api-address", "--control-api-address",
        "--simulationio-api-address", "--executor", "--executor-dir", "--executor-config",
        "--host", "--port", "--simulation", "--disable-runtime-dependency-installation",
        "--log-file", "--log-rotation-interval-hours", "--log-rotation-backup-count",
        "--superexec-auth-secret-file", "--health-server-address", "--user-auth-config",
        "--account-auth-config", "--enable-event-log", "--artifact-provider-config",
        "--flwr-dir", "--version",
    ):  # fmt: skip
        assert flag in text


# What ends it at its start: a documented number, the cause, and status 1.


def ends(*arguments: str) -> None:
    assert flower_superlink.run(["--port=0", *arguments]) == 1


def test_options_that_cannot_be_served_end_it(caplog: pytest.LogCaptureFixture) -> None:
    ends("--insecure", "--enable-supernode-auth")
    assert "Exit Code: 104\n--enable-supernode-auth" in caplog.text


def test_an_address_in_use_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ends("--insecure", f"--fleet-api-address=127.0.0.1:{port}")
    assert "Exit Code: 600" in caplog.text
    assert f"127.0.0.1:{port}" in caplog.text


def test_a_database_of_a_newer_version_ends_it_and_is_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = tmp_path / "state.db"
    with sqlite3.connect(database) as connection:
        connection.execute("create table alembic_version (version_num text)")
        connection.execute("insert into alembic_version values ('r9999_from_the_future')")
    connection.close()
    ends("--insecure", f"--database={database}")
    assert "Exit Code: 105" in caplog.text
    assert str(database) in caplog.text
    with sqlite3.connect(database) as connection:
        tables = connection.execute("select name from sqlite_master").fetchall()
    connection.close()
    assert tables == [("alembic_version",)]


def test_a_file_that_is_no_database_ends_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    database = tmp_path / "state.db"
    database.write_bytes(b"no database" * 1000)
    ends("--insecure", f"--database={database}")
    assert "Exit Code: 105" in caplog.text
    assert database.read_bytes() == b"no database" * 1000


def test_a_database_that_cannot_be_made_ends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    ends("--insecure", f"--database={tmp_path}/file/state.db")
    assert "--database" in capsys.readouterr().err


def test_certificates_that_do_not_belong_together_end_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = trustme.CA().issue_cert("hub.example")
    for name, content in (
        ("cert", server.cert_chain_pems[0]), ("key", server.private_key_pem),
        ("ca", trustme.CA().cert_pem),
    ):  # fmt: skip
        content.write_to_path(tmp_path / name)
    ends(*(f"--ssl-{name}file={tmp_path}/{name.removeprefix('ca-')}" for name in ("cert", "key")),
         f"--ssl-ca-certfile={tmp_path}/ca")  # fmt: skip
    assert "Exit Code: 605" in caplog.text
    assert "would not believe" in caplog.text


def test_the_log_goes_to_a_file_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "flwr")
    file = tmp_path / "logs" / "superlink.log"
    before = list(logging.getLogger("flwr").handlers)
    try:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            ends("--insecure", f"--log-file={file}", f"--fleet-api-address=127.0.0.1:{port}")
        assert f"127.0.0.1:{port}" in file.read_text()
    finally:
        for handler in set(logging.getLogger("flwr").handlers) - set(before):
            logging.getLogger("flwr").removeHandler(handler)
            handler.close()


def test_a_log_file_that_cannot_be_written_ends_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    ends("--insecure", f"--log-file={tmp_path}{os.sep}file{os.sep}superlink.log")
    assert "--log-file" in caplog.text
