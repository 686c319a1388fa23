"""What ``flwr`` does with a SuperLink: run, follow, list, log, stop."""

import shlex
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from deployed import BIN, DIGITS, PROJECT, Deployment, gate, wait_gone, wait_until

Deploy = Callable[..., Deployment]
WriteApp = Callable[..., Path]


def test_the_digits_are_learned_by_two_nodes(shared: Deployment) -> None:
    ended = shared.flwr("run", DIGITS, "hub", "--stream", "--format", "json")
    assert ended.code == 0, ended
    told = ended.json()
    assert told["status"] == "finished:completed"
    assert told["rounds"] == 10
    assert told["failures"] == 0
    assert told["metrics"]["server"]["accuracy"] > 0.85
    assert "Round 10/10" in ended.err


def test_a_streamed_run_is_shown_to_its_end(shared: Deployment, app: WriteApp) -> None:
    ended = shared.flwr("run", app(), "hub", "--stream", "-c", "num-server-rounds=3")
    assert ended.code == 0, ended
    address = f"127.0.0.1:{shared.control_port}"
    assert f"Using SuperLink: hub ({address})\nSuccessfully started run " in ended.out
    assert "the server prints" in ended.out
    assert "the model is [3.0, 3.0, 3.0]" in ended.out
    assert "3 rounds in" in ended.out
    assert "accuracy" in ended.out
    assert "Round 3/3" in ended.err


def test_without_stream_the_command_that_shows_the_log_is_printed(
    shared: Deployment, app: WriteApp
) -> None:
    started = shared.flwr("run", app(), "hub")
    assert started.code == 0, started
    command = started.out.partition("Its log: ")[2].strip()
    program, *arguments = shlex.split(command)
    assert program == "flwr"
    shown = shared.flwr(*arguments)
    assert shown.code == 0
    assert shown.out.count("the model is [2.0, 2.0, 2.0]") == 1
    assert shared.flwr(*arguments, "--show").out == shown.out


def test_json_of_run_ls_and_stop(shared: Deployment, app: WriteApp) -> None:
    submitted = shared.run_json("run", app(), "hub")
    run_id = submitted["run-id"]
    assert submitted == {
        "success": True,
        "run-id": run_id,
        "federation-id": "@none/default",
        "fab-id": "tester/tiny",
        "fab-name": "tiny",
        "fab-version": "1.2.3",
        "fab-hash": submitted["fab-hash"],
        "fab-filename": f"tester.tiny.1-2-3.{submitted['fab-hash']}.fab",
    }
    assert isinstance(run_id, str)
    assert shared.follow(run_id).code == 0
    run = shared.run(run_id)
    assert (run["status"], run["rounds-done"], run["failures"]) == ("finished:completed", 2, 0)
    assert run["fab-hash"].startswith(submitted["fab-hash"])
    assert run["network-traffic"]["inbound-bytes"] > 0
    assert run["network-traffic"]["outbound-bytes"] > 0
    refused = shared.flwr("stop", run_id, "hub", "--format", "json")
    assert refused.code == 1
    assert refused.json()["error"]["code"] == "run-state"
    text = shared.flwr("ls", "hub")
    assert run_id in text.out
    assert "finished:completed" in text.out
    assert "from nodes" in shared.flwr("ls", "hub", "--run-id", run_id).out


def test_streamed_json_is_one_object_and_the_log_is_on_stderr(
    shared: Deployment, app: WriteApp
) -> None:
    ended = shared.flwr("run", app(), "hub", "--stream", "--format", "json")
    assert ended.code == 0, ended
    told = ended.json()
    assert told["metrics"]["server"] == {"accuracy": 0.7}
    assert "the server prints" in ended.err


def test_run_config_reaches_server_and_nodes(shared: Deployment, app: WriteApp) -> None:
    folder = app(
        train='print(context.node_config["partition-id"], context.run_config["word"], flush=True)',
        before='print("server:", context.run_config["word"])',
        project=PROJECT + 'word = "before"\n',
    )
    ended = shared.flwr("run", folder, "hub", "--stream", "-c", "word='after all'")
    assert ended.code == 0, ended
    assert "server: after all" in ended.out
    for index, node in enumerate(shared.nodes):
        node.wait_for(rf"{index} after all")
    wrong = shared.flwr("run", folder, "hub", "-c", "wrod=1")
    assert wrong.code == 1
    assert "did you mean 'word'?" in wrong.err


@pytest.mark.parametrize("stream", [True, False])
def test_a_serverapp_that_raises(shared: Deployment, app: WriteApp, *, stream: bool) -> None:
    folder = app(after='raise RuntimeError("the disk is purple")')
    if stream:
        ended = shared.flwr("run", folder, "hub", "--stream", "--format", "json")
        assert ended.code == 201, ended
        told = ended.json()
        run_id = told["run-id"]
        assert not told["success"]
        assert told["status"] == "finished:failed"
        assert told["error"]["code"] == "run-failed"
        assert "the disk is purple" in told["error"]["message"]
        assert "Traceback" in ended.err
    else:
        run_id = shared.submit(folder)
        log = shared.follow(run_id)
        assert log.code == 0
        assert "the disk is purple" in log.out
    run = shared.run(run_id)
    assert run["status"] == "finished:failed"
    assert "the disk is purple" in run["status-details"]


def test_clients_that_raise(shared: Deployment, app: WriteApp) -> None:
    folder = app(train='raise RuntimeError("no data here")')
    ended = shared.flwr("run", folder, "hub", "--stream")
    assert ended.code not in (0, 2), ended
    assert "The first failure was at node" in ended.err
    assert "no data here" in ended.err


@pytest.mark.parametrize("part", ["server_app", "client_app"])
def test_an_app_that_cannot_be_loaded(shared: Deployment, app: WriteApp, part: str) -> None:
    folder = app()
    module = folder / "tiny" / f"{part}.py"
    module.write_text(f"import not_installed\n{module.read_text()}")
    ended = shared.flwr("run", folder, "hub", "--stream")
    assert ended.code not in (0, 2), ended
    assert "not_installed" in ended.err


def test_stopping_a_run_ends_its_processes(
    shared: Deployment, app: WriteApp, tmp_path: Path
) -> None:
    with gate(tmp_path / "gate"):
        run_id = shared.submit(app(train=f"wait_at({str(tmp_path / 'gate')!r})"))
        wait_until(lambda: shared.run(run_id)["status"] == "running")
        processes = shared.app_processes()
        assert processes
        stopped = shared.flwr("stop", run_id, "hub")
        assert stopped.code == 0
        assert f"Run {run_id} successfully stopped." in stopped.out
        wait_gone(processes)
        run = shared.run(run_id)
        assert run["status"] == "finished:stopped"
        # The nodes are free again, though their clients still waited.
        assert shared.flwr("run", app("other"), "hub", "--stream").code == 0


def test_a_followed_run_that_is_stopped(shared: Deployment, app: WriteApp, tmp_path: Path) -> None:
    with gate(tmp_path / "gate"):
        folder = app(before=f"wait_at({str(tmp_path / 'gate')!r})")
        following = shared.start("user", "flwr", "run", folder, "hub", "--stream")
        run_id = following.wait_for(r"started run (\d+)")[1]
        following.wait_for("the server prints")
        assert shared.flwr("stop", run_id, "hub").code == 0
        assert following.wait() == 1
        assert f"Run {run_id} was stopped" in following.output


def test_ctrl_c_detaches_and_the_run_goes_on(
    shared: Deployment, app: WriteApp, tmp_path: Path
) -> None:
    with gate(tmp_path / "gate") as open_gate:
        folder = app(before=f"wait_at({str(tmp_path / 'gate')!r})")
        following = shared.start("user", "flwr", "run", folder, "hub", "--stream")
        run_id = following.wait_for(r"started run (\d+)")[1]
        following.wait_for("the server prints")
        following.send(signal.SIGINT)
        assert following.wait() == 130
        assert f"Detached: run {run_id} goes on. Its log: flwr log {run_id} hub" in following.output
        assert shared.run(run_id)["status"] == "running"
        open_gate()
        assert "the model is" in shared.follow(run_id).out
    assert shared.run(run_id)["status"] == "finished:completed"


def test_a_federation_of_the_app_is_a_connection_too(shared: Deployment, app: WriteApp) -> None:
    folder = app(
        project=PROJECT
        + '[tool.flwr.federations]\ndefault = "lab"\n[tool.flwr.federations.lab]\n'
        + f'address = "127.0.0.1:{shared.control_port}"\ninsecure = true\n'
    )
    before = (folder / "pyproject.toml").read_bytes()
    started = shared.flwr("run", folder)
    assert started.code == 0, started
    command = shlex.split(started.out.partition("Its log: ")[2].strip())
    assert command[-2:] == [str(folder), "lab"]
    assert "the model is" in shared.flwr(*command[1:]).out
    assert "finished:completed" in shared.flwr("ls", folder, "lab").out
    in_folder = subprocess.run(
        [BIN / "flwr", "ls"],
        cwd=folder,
        env=shared.environment("user"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "finished:completed" in in_folder.stdout
    assert (folder / "pyproject.toml").read_bytes() == before


def test_unknown_runs_are_told(shared: Deployment) -> None:
    for command in (["log", "12345"], ["stop", "12345"], ["ls", "--run-id", "12345"]):
        arguments = [*command, "hub"]
        ended = shared.flwr(*arguments)
        assert ended.code == 1
        assert "12345" in ended.err
        assert "The connection is 'hub'" in ended.err


def test_a_superlink_that_is_not_there_is_told(deploy: Deploy, app: WriteApp) -> None:
    deployment = deploy(0)
    assert deployment.hub is not None
    deployment.hub.kill()
    ended = deployment.flwr("run", app(), "hub", "--format", "json")
    assert ended.code == 1
    assert ended.json()["error"]["code"] == "connection-refused"
    assert f"127.0.0.1:{deployment.control_port}" in ended.err


def test_files_that_are_not_sent_are_named(shared: Deployment, app: WriteApp) -> None:
    folder = app()
    (folder / "data.csv").write_text("1,2\n")
    started = shared.flwr("run", folder, "hub", "--format", "json")
    assert started.code == 0
    assert "data.csv" in started.err


def test_several_runs_at_once(shared: Deployment, app: WriteApp) -> None:
    folder = app()
    run_ids = [shared.submit(folder) for _ in range(3)]
    for run_id in run_ids:
        assert "the model is [2.0, 2.0, 2.0]" in shared.follow(run_id).out
    listed = shared.run_json("ls", "hub", "--limit", "2")["runs"]
    assert [run["run-id"] for run in listed] == run_ids[:0:-1]


def test_a_run_that_waits_for_nodes_says_so(deploy: Deploy, app: WriteApp) -> None:
    deployment = deploy(1)
    following = deployment.start("user", "flwr", "run", app(), "hub", "--stream")
    following.wait_for("Waiting for nodes: 1 of 2 are connected")
    deployment.start_node(1, 2)
    assert following.wait() == 0, following.output


def test_everything_ends_when_it_is_asked_to(deploy: Deploy, app: WriteApp) -> None:
    deployment = deploy(2)
    assert deployment.flwr("run", app(), "hub", "--stream").code == 0
    assert deployment.hub is not None
    for running in (*deployment.nodes, deployment.hub):
        assert running.end() == 0, running.output
        assert "Traceback" not in running.output
    wait_until(lambda: not deployment.processes())


def test_a_reader_that_goes_away_changes_nothing(shared: Deployment, app: WriteApp) -> None:
    command = f"{shlex.quote(str(BIN / 'flwr'))} run {shlex.quote(str(app()))} hub --stream"
    done = subprocess.run(
        ["sh", "-c", f"{{ {command}; echo code $? >&2; }} | head -n 1"],
        cwd=shared.work,
        env=shared.environment("user"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "code 1" in done.stderr  # not all could be printed, though the run went well
    (run,) = shared.run_json("ls", "hub", "--limit", "1")["runs"]
    assert run["status"] == "finished:completed"


def test_nodes_are_listed(shared: Deployment) -> None:
    nodes = shared.run_json("supernode", "list", "hub")["nodes"]
    assert [node["status"] for node in nodes] == ["online", "online"]
    assert sorted(node["node-config"]["partition-id"] for node in nodes) == [0, 1]
    text = shared.flwr("supernode", "ls", "hub").out
    for node in nodes:
        assert f"{node['node-id']} " in text
