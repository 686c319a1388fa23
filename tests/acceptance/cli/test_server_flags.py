"""Every option of the servers and app processes of 1.18 and of 1.41: kept, inert, or refused.

The table is that of the two versions. *Kept* options change what is done, *inert* ones say in one
line that they have no effect, *refused* ones end the process with status 1 and a documented number.
"""

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from flwr._version import __version__
from flwr.cli import (
    appprocesses,
    flower_superexec,
    flower_superlink,
    flower_supernode,
    flwr_clientapp,
    flwr_serverapp,
    flwr_simulation,
)
from flwr.cli.exitblock import CODES, page_table
from flwr.cli.otherversions import judge_options
from flwr.errors import SettingsError

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "exit-codes.md"
KEPT, INERT, DEFAULT = "kept", "inert", "the only value"
Outcome = str | int  # a number: refused with it
Row = tuple[str, str, Outcome]  # options as typed, versions, what becomes of them

# The first word is the option that is meant; ``{ca}`` is a file that exists.
SUPERLINK: Sequence[Row] = (
    ("--insecure", "1.18 1.41", KEPT),
    ("--ssl-certfile {certfile}", "1.18 1.41", KEPT),
    ("--ssl-keyfile {keyfile}", "1.18 1.41", KEPT),
    ("--ssl-ca-certfile {ca-certfile}", "1.18 1.41", KEPT),
    ("--isolation process", "1.18 1.41", KEPT),
    ("--database state.db", "1.18 1.41", KEPT),
    ("--storage-dir x", "1.18", INERT),
    ("--flwr-dir x", "1.18", INERT),
    ("--auth-list-public-keys x", "1.18 1.41", 104),
    ("--auth-superlink-private-key x", "1.18", 104),
    ("--auth-superlink-public-key x", "1.18", 104),
    ("--enable-supernode-auth", "1.41", 104),
    ("--serverappio-api-address h:1", "1.18", KEPT),
    ("--fleet-api-type grpc-rere", "1.18 1.41", INERT),
    ("--fleet-api-type grpc-adapter", "1.18 1.41", INERT),
    ("--fleet-api-type rest", "1.18 1.41", KEPT),
    ("--fleet-api-address h:1", "1.18 1.41", KEPT),
    ("--fleet-api-num-workers 2", "1.18", INERT),
    ("--exec-api-address h:1", "1.18", KEPT),
    ("--control-api-address h:1", "1.41", KEPT),
    ("--simulationio-api-address h:1", "1.18", KEPT),
    ("--executor flwr.superexec.simulation:executor", "1.18", KEPT),
    ("--executor-dir x", "1.18", INERT),
    ("--executor-config num-supernodes=5 --simulation", "1.18", KEPT),
    ("--host h", "1.41", KEPT),
    ("--port 1", "1.41", KEPT),
    ("--simulation", "1.41", KEPT),
    ("--disable-runtime-dependency-installation", "1.41", INERT),
    ("--allow-runtime-dependency-installation", "1.41", INERT),
    ("--log-file x", "1.41", KEPT),
    ("--log-rotation-interval-hours 2", "1.41", KEPT),
    ("--log-rotation-backup-count 2", "1.41", KEPT),
    ("--superexec-auth-secret-file x", "1.41", 104),
    ("--health-server-address h:1", "1.41", KEPT),
    ("--user-auth-config x", "1.18", 104),
    ("--account-auth-config x", "1.41", 104),
    ("--enable-event-log", "1.18 1.41", 104),
    ("--disable-oidc-tls-cert-verification", "1.18", 104),
    ("--artifact-provider-config x", "1.41", 104),
)
SUPERNODE: Sequence[Row] = (
    ("--insecure", "1.18 1.41", KEPT),
    ("--root-certificates {ca}", "1.18 1.41", KEPT),
    ("--superlink h:1", "1.18 1.41", KEPT),
    ("--grpc-rere", "1.18", INERT),
    ("--grpc-adapter", "1.18", INERT),
    ("--rest", "1.18", INERT),
    ("--max-retries 3", "1.18 1.41", KEPT),
    ("--max-wait-time 3", "1.18 1.41", KEPT),
    ("--auth-supernode-private-key x", "1.18 1.41", 302),
    ("--auth-supernode-public-key x", "1.18 1.41", 302),
    ("--node-config partition-id=1", "1.18 1.41", KEPT),
    ("--isolation process", "1.18 1.41", KEPT),
    ("--flwr-dir x", "1.18", KEPT),
    ("--clientappio-api-address h:1 --isolation process", "1.18", KEPT),
    ("--host h --isolation process", "1.41", KEPT),
    ("--port 1 --isolation process", "1.41", KEPT),
    ("--ssl-certfile {certfile} --isolation process", "1.41", KEPT),
    ("--ssl-keyfile {keyfile} --isolation process", "1.41", KEPT),
    ("--ssl-ca-certfile {ca-certfile} --isolation process", "1.41", KEPT),
    ("--appio-ssl-certfile {certfile} --isolation process", "1.41", KEPT),
    ("--appio-ssl-keyfile {keyfile} --isolation process", "1.41", KEPT),
    ("--appio-ssl-ca-certfile {ca-certfile} --isolation process", "1.41", KEPT),
    ("--trusted-entities x", "1.41", 304),
    ("--superexec-auth-secret-file x", "1.41", 401),
    ("--health-server-address h:1", "1.41", KEPT),
    ("--allow-runtime-dependency-installation", "1.41", INERT),
)
APP: Sequence[Row] = (
    ("--runtime-api-address h:1", "1.41", KEPT),
    ("--insecure", "1.18 1.41", KEPT),
    ("--root-certificates {ca}", "1.41", KEPT),
    ("--parent-pid 1", "1.41", KEPT),
    ("--flwr-dir x", "1.18", KEPT),
    ("--allow-runtime-dependency-installation", "1.41", INERT),
)
ONE_RUN: Sequence[Row] = (
    *APP,
    ("--token x", "1.41", KEPT),
    ("--token-file {ca}", "1.41", KEPT),
    ("--run-once", "1.18", KEPT),
)
SERVERAPP: Sequence[Row] = (*ONE_RUN, ("--serverappio-api-address h:1", "1.18", KEPT))
SIMULATION: Sequence[Row] = (*ONE_RUN, ("--simulationio-api-address h:1", "1.18 1.41", KEPT))
CLIENTAPP: Sequence[Row] = (
    *APP,
    ("--clientappio-api-address h:1", "1.18", KEPT),
    ("--token x", "1.18 1.41", INERT),
    ("--token-file x", "1.41", INERT),
)
SUPEREXEC: Sequence[Row] = (
    *APP,
    ("--appio-api-address h:1", "1.41", KEPT),
    ("--plugin-type clientapp", "1.41", KEPT),
    ("--executor subprocess", "1.41", DEFAULT),
    ("--executor kubernetes", "1.41", 402),
    ("--executor-config x", "1.41", INERT),
    ("--superexec-auth-secret-file x", "1.41", 401),
    ("--health-server-address h:1", "1.41", KEPT),
)


@dataclass(frozen=True)
class Command:
    """A command, its options in both versions, and those of ours."""

    module: Any
    rows: Sequence[Row]
    parser: Callable[[], argparse.ArgumentParser]
    settings: Callable[[argparse.Namespace], Any]  # all that is done differently
    ours: str = ""


def of_superlink(given: argparse.Namespace) -> Any:
    log = given.log_file, given.log_rotation_interval_hours, given.log_rotation_backup_count
    return flower_superlink.read_settings(given), log


def of_one_run(given: argparse.Namespace) -> Any:
    judge_options(given, appprocesses.INERT, ())
    return appprocesses.facts_of(given), given.parent_pid, given.flwr_dir, given.run_once


def of_clientapp(given: argparse.Namespace) -> Any:
    judge_options(given, flwr_clientapp.PROGRAM.inert, ())
    return flwr_clientapp.settings_of(given, 1), given.parent_pid, given.flwr_dir


def of_superexec(given: argparse.Namespace) -> Any:
    judge_options(given, flower_superexec.PROGRAM.inert, ())
    facts = appprocesses.facts_of(given)
    return (
        facts, given.plugin_type, given.parent_pid, given.flwr_dir, given.health_server_address
    )  # fmt: skip


def parser_of_one(program: appprocesses.Program) -> argparse.ArgumentParser:
    parser = appprocesses.parser_of(program)
    appprocesses.add_single_options(parser)
    return parser


COMMANDS = {
    "flower-superlink": Command(
        flower_superlink, SUPERLINK, flower_superlink._parser, of_superlink, "--app-max-wait-time"
    ),
    "flower-supernode": Command(
        flower_supernode, SUPERNODE, flower_supernode._parser,
        lambda given: (flower_supernode.read_settings(given), given.flwr_dir),
        "--state-dir --max-concurrent",
    ),
    "flwr-serverapp": Command(
        flwr_serverapp, SERVERAPP, lambda: parser_of_one(flwr_serverapp.PROGRAM), of_one_run,
        "--max-wait-time --appio-api-address",
    ),
    "flwr-simulation": Command(
        flwr_simulation, SIMULATION, lambda: parser_of_one(flwr_simulation.PROGRAM), of_one_run,
        "--max-wait-time --appio-api-address",
    ),
    "flwr-clientapp": Command(
        flwr_clientapp, CLIENTAPP, flwr_clientapp._parser, of_clientapp,
        "--max-wait-time --max-concurrent --appio-api-address",
    ),
    "flower-superexec": Command(
        flower_superexec, SUPEREXEC, flower_superexec._parser, of_superexec, "--max-wait-time"
    ),
}  # fmt: skip
ROWS = [(name, *row) for name, command in COMMANDS.items() for row in command.rows]
SECURE = "--ssl-certfile {certfile} --ssl-keyfile {keyfile} --ssl-ca-certfile {ca-certfile}"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the files of a server and its authority."""
    folder, authority = tmp_path_factory.mktemp("tls"), trustme.CA()
    server = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(folder / "ca")
    server.private_key_pem.write_to_path(folder / "keyfile")
    server.cert_chain_pems[0].write_to_path(folder / "certfile")
    names = {"certfile": "certfile", "keyfile": "keyfile", "ca-certfile": "ca", "ca": "ca"}
    return {name: str(folder / file) for name, file in names.items()}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


def words(text: str, files: dict[str, str]) -> list[str]:
    for name, file in files.items():
        text = text.replace(f"{{{name}}}", file)
    return text.split()


def base_of(command: str, typed: str) -> str:
    """Return what else has to be typed for an option to be meant."""
    flag = typed.split(maxsplit=1)[0]
    if "ssl-" in flag:
        others = re.sub(rf"{flag.replace('appio-', '')} \S+", "", SECURE)
        return others + ("" if command == "flower-superlink" else " --insecure")
    return "" if flag in ("--insecure", "--root-certificates") else "--insecure"


@pytest.mark.parametrize(
    ("command", "typed", "outcome"), [(name, typed, what) for name, typed, _, what in ROWS]
)
def test_each_option_of_both_versions(
    command: str,
    typed: str,
    outcome: Outcome,
    files: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    served, flag = COMMANDS[command], typed.split(maxsplit=1)[0]
    base = words(base_of(command, typed), files)
    arguments = [*base, *words(typed, files)]
    if isinstance(outcome, int):
        assert served.module.run(arguments) == CODES[outcome].status == 1
        assert f"Exit Code: {outcome}\n{flag}" in caplog.text
        return
    without = words(typed.partition(" --")[1] + typed.partition(" --")[2], files)
    with_it = served.settings(served.parser().parse_args(arguments))
    said = bool(re.search(rf"{flag}\b.* has no effect[:.]", caplog.text))
    assert said == (outcome == INERT), caplog.text
    try:
        bare = served.settings(served.parser().parse_args([*base, *without]))
    except SettingsError:  # it does not work without
        assert outcome == KEPT
    else:
        assert (with_it != bare) == (outcome == KEPT)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_has_every_option_there_is(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = COMMANDS[name]
    known = {
        option
        for action in command.parser()._actions
        for option in action.option_strings
        if option.startswith("--") and option not in ("--help", "--version")
    }
    assert known == {typed.split()[0] for typed, *_ in command.rows} | set(command.ours.split())
    with pytest.raises(SystemExit):
        command.module.run(["--help"])
    printed = capsys.readouterr().out
    assert {option for option in known if option not in printed} == set()
    described = [action for action in command.parser()._actions if not action.help]
    assert described == []


@pytest.mark.parametrize("option", ["-V", "--version"])
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_tells_its_version(
    name: str, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        COMMANDS[name].module.run([option])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"Flower version: {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_option_ends_with_2(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        COMMANDS[name].module.run(["--frobnicate"])
    assert ended.value.code == 2
    assert "--frobnicate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "typed", "number"),
    [
        ("flower-superlink", "", 104),
        ("flower-superlink", "--insecure --ssl-certfile x", 104),
        ("flower-superlink", "--insecure --fleet-api-address a:b:c", 600),
        ("flower-superlink", "--ssl-certfile x --ssl-keyfile x --ssl-ca-certfile x", 605),
        ("flower-supernode", "--insecure --superlink a:b:c", 600),
        ("flower-supernode", "--insecure --root-certificates {ca}", 603),
        ("flower-supernode", "--insecure --isolation process --ssl-certfile x", 605),
        *(
            (name, typed, number)
            for name in ("flwr-serverapp", "flwr-simulation", "flwr-clientapp", "flower-superexec")
            for typed, number in (
                ("--insecure --runtime-api-address a:b:c", 600),
                ("--insecure --root-certificates {ca}", 603),
                ("--root-certificates nowhere.pem", 604),
            )
        ),
        ("flwr-serverapp", "--insecure --token-file nowhere", 604),
    ],
)
def test_what_contradicts_itself_or_cannot_be_read_has_a_number(
    name: str,
    typed: str,
    number: int,
    files: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert COMMANDS[name].module.run(words(typed, files)) == 1
    assert f"Exit Code: {number}\n" in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("flower-supernode", "--max-retries -1"),
        ("flower-supernode", "--max-retries many"),
        ("flower-supernode", "--port 99999"),
        *((name, "--max-wait-time nan") for name in COMMANDS if name != "flower-superlink"),
        ("flower-superlink", "--app-max-wait-time -1"),
        ("flower-superlink", "--port 99999"),
    ],
)
def test_numbers_that_are_none_are_usage_errors(
    name: str, typed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        COMMANDS[name].module.run(typed.split())
    assert ended.value.code == 2
    assert "must be" in capsys.readouterr().err


# The page of exit codes.


def test_the_page_has_the_numbers_of_the_code() -> None:
    assert page_table() in PAGE.read_text()
