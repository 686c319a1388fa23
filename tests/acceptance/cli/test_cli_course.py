"""Making, running, listing and following apps."""

import importlib.util
import json
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_apps import COMMAND, PROJECT, Flwr, group

ROOT = Path(__file__).parents[3]


def run_id_of(output: str) -> str:
    found = re.search(r"started run (\d+)", output)
    assert found, output
    return found[1]


@pytest.mark.parametrize("framework", ["NumPy", "sklearn"])
def test_a_new_app_learns_digits(flwr: Flwr, framework: str) -> None:
    made = flwr("new", "my-app", "--framework", framework, "--username", "ada")
    assert made.code == 0, made.err
    ran = flwr("run", "my-app")
    assert ran.code == 0, ran.err
    first_line = ran.out.splitlines()[0]
    assert "in place ('local-simulation', the app's default federation): 10 nodes" in first_line
    run_id = run_id_of(first_line)

    shown = flwr("ls", "--format", "json", "--run-id", run_id)
    (run,) = json.loads(shown.out)["runs"]
    assert run["run-id"] == run_id
    assert (run["fab-id"], run["status"]) == ("ada/my-app", "finished:completed")
    assert (run["nodes"], run["rounds"], run["rounds-done"], run["failures"]) == (10, 10, 10, 0)

    artifacts = flwr.home / "wildflower" / "runs" / run_id / "artifacts"
    assert str(artifacts) in ran.out
    assert {file.name for file in artifacts.iterdir()} >= {"metrics.svg", "model.npz"}
    assert "server accuracy" in (artifacts / "metrics.svg").read_text()
    last = [line for line in ran.err.splitlines() if line.startswith("Round 10/10")]
    accuracy = re.search(r"accuracy ([0-9.]+)", last[0])
    assert accuracy
    assert float(accuracy[1]) >= 0.9


def test_what_is_printed_reaches_terminal_and_log(flwr: Flwr, app: Callable[..., Path]) -> None:
    ran = flwr("run", app(then="import sys; print('to stderr', file=sys.stderr)"))
    assert ran.code == 0, ran.err
    assert ran.out.count("the server prints") == 1
    assert ran.out.count("a client prints") == 4
    assert "to stderr" in ran.err
    assert "Round 2/2" in ran.err
    log = flwr("log", run_id_of(ran.out), "--show")
    assert log.code == 0
    assert log.out.count("the server prints") == 1
    assert log.out.count("a client prints") == 4
    assert "to stderr" in log.out
    assert "Round 2/2" in log.out


def test_a_finished_log_streams_to_its_end(flwr: Flwr, app: Callable[..., Path]) -> None:
    ran = flwr("run", app())
    followed = flwr("log", run_id_of(ran.out))
    assert followed.code == 0
    assert "the server prints" in followed.out


def test_a_live_log_is_followed(flwr: Flwr, app: Callable[..., Path], tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    running = flwr.start("run", app(then=f"open({str(gate)!r}).read(); print('the last words')"))
    assert running.stdout
    run_id = run_id_of(running.stdout.readline())
    following = flwr.start("log", run_id)
    gate.write_text("go on")
    out, _ = following.communicate(timeout=60)
    running.communicate(timeout=60)
    assert "the last words" in out
    assert (following.returncode, running.returncode) == (0, 0)


def test_json_of_a_run_is_all_of_stdout(flwr: Flwr, app: Callable[..., Path]) -> None:
    ran = flwr("run", app(), "--format", "JSON", "--stream")
    assert ran.code == 0, ran.err
    result = json.loads(ran.out)
    assert result["success"] is True
    assert isinstance(result["run-id"], str)
    assert result["fab-id"] == "tester/tiny"
    assert (result["fab-name"], result["fab-version"]) == ("tiny", "1.2.3")
    assert (result["status"], result["rounds"], result["failures"]) == ("finished:completed", 2, 0)
    assert result["metrics"]["server"]["accuracy"] == pytest.approx(0.7)
    assert Path(result["artifacts"]).is_dir()
    assert "the server prints" in ran.err


def test_settings_of_one_run(flwr: Flwr, app: Callable[..., Path]) -> None:
    folder = app(
        then="print('rate', context.run_config['learning-rate'], len(grid.get_node_ids()))"
    )
    ran = flwr(
        "run", folder, "-c", "learning-rate=0.5", "--run-config", "num-server-rounds=1",
        "--federation-config", "num-supernodes=5",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "rate 0.5 5" in ran.out
    assert "Round 1/1" in ran.err
    again = flwr("run", folder, "--federation-config", "options.num-supernodes=3")
    assert "rate 0.1 3" in again.out


def test_verbose_runs_and_idle_options(flwr: Flwr, app: Callable[..., Path]) -> None:
    folder = app(then="from flwr.log import log; log(10, 'a detail')")
    assert "a detail" not in flwr("run", folder).err
    ran = flwr("run", folder, "--federation-config", "verbose=true init-args-log-to-driver=false")
    assert "a detail" in ran.err
    assert "no effect here: log_to_driver" in ran.err


def test_nan_metrics_are_shown_and_are_null_in_json(flwr: Flwr, app: Callable[..., Path]) -> None:
    folder = app()
    client = folder / "tiny" / "client_app.py"
    client.write_text(client.read_text().replace("0.25", "float('nan')"))
    assert "nan" in flwr("run", folder).out
    result = json.loads(flwr("run", folder, "--format", "json").out)
    assert result["metrics"]["train"]["loss"] is None


def test_replies_that_do_not_fit_are_told(flwr: Flwr, app: Callable[..., Path]) -> None:
    folder = app()
    client = folder / "tiny" / "client_app.py"
    client.write_text(
        client.read_text().replace(
            "[array + 1 for", "[array[: context.node_config['partition-id'] + 1] for"
        )
    )
    ran = flwr("run", folder)
    assert ran.code == 200
    assert "Array '0' in ArrayRecord 'arrays' of node" in ran.err
    assert "Exception ignored" not in ran.err


def test_an_unconfigured_app_has_ten_nodes_and_says_how_to_change_it(
    flwr: Flwr, app: Callable[..., Path]
) -> None:
    ran = flwr("run", app(project=PROJECT))
    line = ran.out.splitlines()[0]
    assert "in place (nothing else is configured): 10 nodes" in line
    assert "num-supernodes" in line


def test_places_are_named_by_argument(flwr: Flwr, app: Callable[..., Path]) -> None:
    folder = app(then="print(len(grid.get_node_ids()), 'nodes here')")
    flwr.home.mkdir()
    (flwr.home / "config.toml").write_text(
        "[superlink.mine]\naddress = ':local:'\noptions.num-supernodes = 4\n"
    )
    assert "4 nodes here" in flwr("run", folder, "mine").out
    inside = flwr("run", "mine", cwd=folder)
    assert "4 nodes here" in inside.out
    assert "'mine', named on the command line" in inside.out
    assert "10 nodes here" in flwr("run", ".", "local", cwd=folder).out
    assert "2 nodes here" in flwr("run", cwd=folder).out


def test_artifacts_have_a_folder(flwr: Flwr, app: Callable[..., Path]) -> None:
    write = "from flwr.serverapp import artifacts_dir; (artifacts_dir() / '{}').touch()"
    folder = app(then=write.format("server"), first=write.format("client"))
    result = json.loads(flwr("run", folder, "--format", "json").out)
    assert {"server", "client"} <= {file.name for file in Path(result["artifacts"]).iterdir()}


def test_debug_runs_clients_in_the_same_process(flwr: Flwr, app: Callable[..., Path]) -> None:
    pid = "import os; print('pid', os.getpid())"
    ran = flwr("run", app(first=pid, then=pid), "--debug")
    assert ran.code == 0, ran.err
    assert len(set(re.findall(r"pid (\d+)", ran.out))) == 1


def test_a_breakpoint_in_client_code_is_usable(flwr: Flwr, app: Callable[..., Path]) -> None:
    folder = app(first="breakpoint()")
    done = subprocess.run(
        [COMMAND, "run", folder, "--debug", "-c", "num-server-rounds=1"],
        env=flwr.environment,
        input="p context.node_config\nc\nc\n",
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "'num-partitions': 2" in done.stdout


def test_a_failing_server_is_told(flwr: Flwr, app: Callable[..., Path]) -> None:
    folder = app(then="raise ValueError('all is lost')")
    ran = flwr("run", folder)
    assert ran.code == 1
    assert "ValueError: all is lost" in ran.err
    source = folder / "tiny" / "server_app.py"
    number = source.read_text().splitlines().index("    raise ValueError('all is lost')") + 1
    assert f'File "{source}", line {number}, in main' in ran.err
    run_id = run_id_of(ran.out)
    assert f"flwr log {run_id}" in ran.err
    assert "Traceback (most recent call last)" in flwr("log", run_id, "--show").out
    (run,) = json.loads(flwr("ls", "--format", "json").out)["runs"]
    assert run["status"] == "finished:failed"
    assert run["status-details"] == "ValueError: all is lost"


def test_a_failed_run_says_so_in_json(flwr: Flwr, app: Callable[..., Path]) -> None:
    ran = flwr("run", app(then="raise ValueError('all is lost')"), "--format", "json")
    assert ran.code == 1
    result = json.loads(ran.out)
    assert result["success"] is False
    assert result["error"]["code"] == "run-failed"
    assert "all is lost" in result["error"]["message"]
    assert result["error-message"] == result["error"]["message"]
    assert result["status"] == "finished:failed"


def test_a_failing_client_is_told(flwr: Flwr, app: Callable[..., Path]) -> None:
    folder = app(first="if context.node_config['partition-id'] == 1: 1 / 0")
    ran = flwr("run", folder)
    assert "ZeroDivisionError: division by zero" in ran.err + ran.out
    assert "1 of 2 failed" in ran.err or "1 of 4 failed" in ran.err
    assert "client_app.py" in ran.err


def test_a_run_in_which_nothing_worked_has_failed(flwr: Flwr, app: Callable[..., Path]) -> None:
    folder = app(strategy="{'fraction_evaluate': 0.0}", first='raise ValueError("no data")')
    ended = flwr("run", folder)
    assert ended.code == 1
    assert "All of its 4 messages came back as errors" in ended.err
    assert "The first failure was at node" in ended.err
    assert 'raise ValueError("no data")' in ended.err
    assert "finished:failed" in flwr("ls").out


def test_exiting_servers(flwr: Flwr, app: Callable[..., Path]) -> None:
    folder = app(then="import sys; sys.exit(0)")
    assert flwr("run", folder).code == 0
    source = folder / "tiny" / "server_app.py"
    source.write_text(source.read_text().replace("sys.exit(0)", "sys.exit(3)"))
    ran = flwr("run", folder)
    assert ran.code == 1
    assert "sys.exit(3)" in ran.err


def test_an_interrupted_run_is_stopped(flwr: Flwr, waiting: "subprocess.Popen[str]") -> None:
    os.killpg(waiting.pid, signal.SIGINT)
    out, _ = waiting.communicate(timeout=60)
    assert waiting.returncode == 130
    (run,) = json.loads(flwr("ls", "--format", "json").out)["runs"]
    assert run["status"] == "finished:stopped"
    last_line = out.rstrip().splitlines()[-1]
    assert last_line == (
        f"Interrupted after 2 of 2 rounds: run {run['run-id']} is finished:stopped."
    )


def test_a_killed_run_has_failed_and_its_workers_are_gone(
    flwr: Flwr, waiting: "subprocess.Popen[str]"
) -> None:
    (live,) = json.loads(flwr("ls", "--format", "json").out)["runs"]
    assert live["status"] == "running"
    others = [process for process in group(waiting.pid) if process != waiting.pid]
    assert others
    ends = [os.pidfd_open(process) for process in others]
    waiting.kill()
    waiting.communicate(timeout=60)
    for end in ends:
        assert select.select([end], [], [], 60)[0], "a worker outlived its run"
        os.close(end)
    (run,) = json.loads(flwr("ls", "--format", "json").out)["runs"]
    assert run["status"] == "finished:failed"
    assert "killed" in run["status-details"]


def test_lists(flwr: Flwr, app: Callable[..., Path]) -> None:
    assert "no runs yet" in flwr("ls").out
    folder = app()
    ids = [run_id_of(flwr("run", folder, "-c", "num-server-rounds=1").out) for _ in range(2)]
    table = flwr("list").out
    for heading in ("Run ID", "Federation", "App", "Status", "Elapsed", "Status Changed @"):
        assert heading in table
    assert table.index(ids[1]) < table.index(ids[0])
    assert "@tester/tiny==1.2.3" in table
    newest = json.loads(flwr("ls", "--limit", "1", "--format", "json").out)
    assert newest["success"] is True
    assert [run["run-id"] for run in newest["runs"]] == [ids[1]]
    old_form = flwr("ls", folder, "pair", "--runs", "--format", "json")
    assert len(json.loads(old_form.out)["runs"]) == 2
    detail = flwr("ls", "--run-id", ids[0]).out
    for fact in (ids[0], "finished:completed", "Rounds", "1 of 1", "Running At"):
        assert fact in detail


def test_a_run_id_is_never_cut(flwr: Flwr, app: Callable[..., Path]) -> None:
    run_id = run_id_of(flwr("run", app(), "-c", "num-server-rounds=1").out)
    narrow = subprocess.run(
        [COMMAND, "ls"],
        env={**flwr.environment, "COLUMNS": "60"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert run_id in narrow.stdout
    assert max(len(line.rstrip()) for line in narrow.stdout.splitlines()) <= 60


def test_the_version_loads_no_command_line_library(flwr: Flwr) -> None:
    told = flwr("--version")
    assert re.fullmatch(r"Flower version: 1\.41\.0\+wildflower\.\d+\n", told.out)
    assert flwr("-V").out == told.out
    program = (
        "import sys; sys.argv[1:] = ['--version']\n"
        "from flwr.cli.entry import main; main()\n"
        "assert not {'typer', 'rich', 'numpy', 'sqlalchemy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_runs_that_have_ended_are_listed_without_loading_sqlalchemy(
    flwr: Flwr, app: Callable[..., Path]
) -> None:
    assert flwr("run", app()).code == 0
    program = (
        "import sys; sys.argv[1:] = ['ls', '--format', 'json']\n"
        "from flwr.cli.entry import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code\n"
        "assert not {'numpy', 'sqlalchemy'} & set(sys.modules)"
    )
    told = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        timeout=60,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "FLWR_HOME": str(flwr.home)},
    )
    assert json.loads(told.stdout) == json.loads(flwr("ls", "--format", "json").out)


def test_examples_are_what_the_templates_write(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "examples" / "generate.py")
    assert spec
    assert spec.loader
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    generate.main(tmp_path)
    for file in tmp_path.rglob("*"):
        if file.is_file():
            example = ROOT / "examples" / file.relative_to(tmp_path)
            assert example.read_text() == file.read_text(), f"{example}: run examples/generate.py"
