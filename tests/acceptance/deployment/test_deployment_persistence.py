"""What is there again after the hub was killed, and that live runs go on."""

from collections.abc import Callable
from pathlib import Path

from deployed import Deployment, gate, wait_gone, wait_until

Deploy = Callable[..., Deployment]
WriteApp = Callable[..., Path]


def test_finished_runs_logs_metrics_and_nodes_are_there_again(
    deploy: Deploy, app: WriteApp
) -> None:
    deployment = deploy(2, database=True)
    run_id = deployment.submit(app())
    log = deployment.follow(run_id).out
    before = deployment.run(run_id)
    nodes = deployment.run_json("supernode", "list", "hub")["nodes"]
    assert deployment.hub is not None
    deployment.hub.kill()
    deployment.start_hub()
    assert deployment.run(run_id) == before
    assert deployment.flwr("log", run_id, "hub", "--show").out == log
    again = deployment.run_json("supernode", "list", "hub")["nodes"]
    assert [node["node-id"] for node in again] == [node["node-id"] for node in nodes]
    assert [node["node-config"] for node in again] == [node["node-config"] for node in nodes]


def test_a_live_run_goes_on_after_the_hub_was_killed(
    deploy: Deploy, app: WriteApp, tmp_path: Path
) -> None:
    deployment = deploy(2, database=True)
    with gate(tmp_path / "gate") as open_gate:
        folder = app(train=f"wait_at({str(tmp_path / 'gate')!r})")
        run_id = deployment.submit(folder, "-c", "num-server-rounds=3")
        wait_until(lambda: deployment.run(run_id)["status"] == "running")
        assert deployment.hub is not None
        deployment.hub.kill()
        deployment.start_hub()
        assert deployment.run(run_id)["status"] == "running"
        open_gate()
    log = deployment.follow(run_id)
    assert "the model is [3.0, 3.0, 3.0]" in log.out
    assert deployment.run(run_id)["status"] == "finished:completed"


def test_a_live_run_goes_on_after_the_hub_was_ended_and_started_again(
    deploy: Deploy, app: WriteApp, tmp_path: Path
) -> None:
    deployment = deploy(2, database=True)
    with gate(tmp_path / "gate") as open_gate:
        run_id = deployment.submit(app(train=f"wait_at({str(tmp_path / 'gate')!r})"))
        wait_until(lambda: deployment.run(run_id)["status"] == "running")
        processes = deployment.app_processes()
        assert deployment.hub is not None
        assert deployment.hub.end() == 0
        deployment.start_hub()
        assert deployment.app_processes() == processes
        open_gate()
        log = deployment.follow(run_id)
    assert log.out.count("the server prints") == 1
    assert "the model is [2.0, 2.0, 2.0]" in log.out


def test_runs_without_a_database_end_with_their_hub(
    deploy: Deploy, app: WriteApp, tmp_path: Path
) -> None:
    deployment = deploy(2)
    with gate(tmp_path / "gate"):
        run_id = deployment.submit(app(train=f"wait_at({str(tmp_path / 'gate')!r})"))
        wait_until(lambda: deployment.run(run_id)["status"] == "running")
        processes = deployment.app_processes()
        assert processes
        assert deployment.hub is not None
        assert deployment.hub.end() == 0
        wait_gone(processes)


def test_a_serverapp_that_is_killed_goes_on_from_its_checkpoint(
    deploy: Deploy, app: WriteApp, tmp_path: Path
) -> None:
    deployment = deploy(2)
    with gate(tmp_path / "gate") as open_gate:
        wait = f"{str(tmp_path / 'gate')!r}"
        second = 'msg.content["arrays"].to_numpy_ndarrays()[0][0] > 0'
        folder = app(train=f"wait_at({wait}) if {second} else print('first', flush=True)")
        run_id = deployment.submit(folder, "-c", "num-server-rounds=3")
        for node in deployment.nodes:
            node.wait_for("first")
        wait_until(lambda: deployment.run(run_id)["rounds-done"] == 1)
        for process in deployment.app_processes():
            process.kill()
        open_gate()
        log = deployment.follow(run_id)
    assert "the model is [3.0, 3.0, 3.0]" in log.out
    assert log.out.count("the server prints") == 2
    for node in deployment.nodes:
        assert node.output.count("first") == 1  # the first round was not trained again


def test_a_serverapp_that_dies_each_time_fails_with_the_cause(
    deploy: Deploy, app: WriteApp
) -> None:
    deployment = deploy(2)
    # What it printed a moment before can no longer be told.
    dies = "print('going down'); threading.Event().wait(0.5); os.kill(os.getpid(), 9)"
    folder = app(before=dies)
    ended = deployment.flwr("run", folder, "hub", "--stream")
    assert ended.code == 1
    assert "killed by signal 9" in ended.err
    assert "going down" in ended.err
    assert ended.out.count("going down") > 5
    assert not deployment.app_processes()


def test_a_stream_goes_on_over_a_restart_of_the_hub(
    deploy: Deploy, app: WriteApp, tmp_path: Path
) -> None:
    deployment = deploy(2, database=True)
    with gate(tmp_path / "gate") as open_gate:
        folder = app(before=f"wait_at({str(tmp_path / 'gate')!r})")
        following = deployment.start("user", "flwr", "run", folder, "hub", "--stream")
        following.wait_for("the server prints")
        assert deployment.hub is not None
        deployment.hub.kill()
        deployment.start_hub()
        open_gate()
        assert following.wait() == 0, following.output
    assert following.output.count("the server prints") == 1
    assert following.output.count("the model is [2.0, 2.0, 2.0]") == 1


def test_a_node_that_restarts_is_the_same_node(deploy: Deploy, app: WriteApp) -> None:
    deployment = deploy(2)
    before = deployment.run_json("supernode", "list", "hub")["nodes"]
    deployment.nodes[1].kill()
    deployment.start_node(1, 2)
    after = deployment.run_json("supernode", "list", "hub")["nodes"]
    assert [node["node-id"] for node in after] == [node["node-id"] for node in before]
    assert deployment.flwr("run", app(), "hub", "--stream").code == 0
