"""Bad input is refused with what, where and what to do; nothing is lost."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_apps import NODES, PROJECT, Flwr

from flwr.cli.frameworks import FRAMEWORKS


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["frobnicate"], "No such command"),
        (["run", "--frobnicate"], "No such option"),
        (["log"], "Missing argument"),
        (["log", "abc"], "integer"),
        (["ls", "--limit", "0"], "greater than or equal to 1"),
        (["ls", "--limit", "1", "--run-id", "3"], "excludes"),
        (["run", "--format", "xml"], "xml"),
    ],
)
def test_usage_errors_end_with_2(flwr: Flwr, arguments: list[str], expected: str) -> None:
    ended = flwr(*arguments)
    assert ended.code == 2
    assert expected in ended.err
    assert ended.out == ""


def test_a_missing_project_file(flwr: Flwr) -> None:
    ended = flwr("run", ".")
    assert ended.code == 1
    assert "There is no pyproject.toml in" in ended.err
    assert str(flwr.work) in ended.err
    named = flwr("run", "nowhere")
    assert named.code == 1
    assert "'nowhere' is no folder with a pyproject.toml" in named.err


def test_a_malformed_project_file(flwr: Flwr, app: Callable[..., Path]) -> None:
    ended = flwr("run", app(project="[project]\nname = tiny\n"))
    assert ended.code == 1
    assert "line 2: name = tiny" in ended.err


def test_an_invalid_project_file(flwr: Flwr, app: Callable[..., Path]) -> None:
    ended = flwr("run", app(project=PROJECT.replace("publisher", "publsher")), "--format", "json")
    assert ended.code == 1
    error = json.loads(ended.out)["error"]
    assert error["code"] == "config"
    assert "line 7, tool.flwr.app.publsher" in error["message"]
    assert "did you mean 'publisher'" in error["message"]


@pytest.mark.parametrize("half", ["server_app", "client_app"])
def test_a_component_that_does_not_import(flwr: Flwr, app: Callable[..., Path], half: str) -> None:
    folder = app()
    source = folder / "tiny" / f"{half}.py"
    source.write_text("import nowhere_to_be_found\n" + source.read_text())
    ended = flwr("run", folder)
    assert ended.code == 1
    assert f"tiny.{half}:app" in ended.err
    assert "No module named 'nowhere_to_be_found'" in ended.err
    assert f"{half}.py" in ended.err
    (run,) = json.loads(flwr("ls", "--format", "json").out)["runs"]
    assert run["status"] == "finished:failed"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("num-rounds=3", "'num-rounds'; did you mean 'num-server-rounds'?"),
        ("learning-rate=fast", 'learning-rate="fast"'),
        ("learning-rate=True", "learning-rate=true"),
        ("hello", "cannot read 'hello'"),
        ("nowhere.toml", "Cannot read 'nowhere.toml'"),
    ],
)
def test_bad_run_configs(flwr: Flwr, app: Callable[..., Path], text: str, expected: str) -> None:
    ended = flwr("run", app(), "-c", text)
    assert ended.code == 1
    assert expected in ended.err


def test_a_value_of_another_type_is_named_when_the_run_fails(
    flwr: Flwr, app: Callable[..., Path]
) -> None:
    folder = app(then="context.run_config['learning-rate'] / 2")
    assert flwr("run", folder, "-c", "learning-rate=1").code == 0
    ended = flwr("run", folder, "-c", "learning-rate='big'", "--format", "json")
    assert ended.code == 1
    message = json.loads(ended.out)["error"]["message"]
    assert "'learning-rate' was set to 'big' (text); by default it is 0.1 (a number)." in message
    assert message in ended.err
    rounds = flwr("run", folder, "-c", "num-server-rounds='three'")
    assert rounds.code == 1
    assert "Number of rounds: three" in rounds.err
    assert "Logging error" not in rounds.err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("num-supernodes=0", "must be an integer of at least 1; it is 0"),
        ("num-supernode=3", "did you mean 'num-supernodes'?"),
        ("client-resources-num-cpus=9999", "num_cpus"),
    ],
)
def test_bad_federation_configs(
    flwr: Flwr, app: Callable[..., Path], text: str, expected: str
) -> None:
    ended = flwr("run", app(), "--federation-config", text)
    assert ended.code == 1
    assert expected in ended.err


def test_problems_of_several_options_are_told_at_once(flwr: Flwr, app: Callable[..., Path]) -> None:
    wrong = ["-c", "learnin-rate=1", "--federation-config", "num-supernode=3 verbose=3"]
    ended = flwr("run", app(), *wrong, "--format", "json")
    assert ended.code == 1
    error = json.loads(ended.out)["error"]
    assert error["code"] == "run-config"
    for text in (
        "\n- Unknown key in --run-config: 'learnin-rate'; did you mean 'learning-rate'?\n",
        "\n- --federation-config: 'num-supernode': unknown option; did you mean 'num-supernodes'?",
        "; 'verbose': must be true or false; it is 3",
    ):
        assert text in error["message"]


def test_no_nodes_in_the_project_file(flwr: Flwr, app: Callable[..., Path]) -> None:
    ended = flwr("run", app(project=PROJECT + NODES.replace("= 2", "= 0")))
    assert ended.code == 1
    assert "options.num-supernodes: must be an integer of at least 1; it is 0" in ended.err


def test_more_nodes_asked_for_than_there_are(flwr: Flwr, app: Callable[..., Path]) -> None:
    ended = flwr("run", app(strategy="dict(min_available_nodes=100)"))
    assert ended.code == 1
    assert "100" in ended.err
    assert "2" in ended.err


def test_places_that_are_not_there(flwr: Flwr, app: Callable[..., Path]) -> None:
    folder = app()
    unknown = flwr("run", folder, "pare")
    assert unknown.code == 1
    assert "There is no connection or federation 'pare'; did you mean 'pair'?" in unknown.err
    assert f"(and the folder '{folder}' is an app)" in flwr("run", folder, folder).err
    empty = flwr.work / "empty"
    empty.mkdir()
    assert "(and the folder 'empty' has no pyproject.toml)" in flwr("ls", "empty").err
    remote = flwr("run", folder, "far", "--debug")
    assert remote.code == 1
    assert "--debug is for runs in place; 'far' is the SuperLink at far.example:9093" in remote.err
    assert flwr("run", folder, "--federation", "@acme/lab").code == 1


def test_a_home_that_cannot_be_used(flwr: Flwr, app: Callable[..., Path]) -> None:
    flwr.home.write_text("a file")
    for arguments in (["run", app()], ["ls"], ["log", "1"]):
        ended = flwr(*arguments)
        assert ended.code == 1
        assert f"FLWR_HOME {flwr.home} cannot be used" in ended.err


def test_a_damaged_database_is_kept(flwr: Flwr, app: Callable[..., Path]) -> None:
    folder = app()
    assert flwr("run", folder, "-c", "num-server-rounds=1").code == 0
    database = flwr.home / "wildflower" / "runs.db"
    damaged = b"this is no database at all" * 100
    database.write_bytes(damaged)
    for arguments in (["run", folder], ["ls"]):
        ended = flwr(*arguments)
        assert ended.code == 1
        assert str(database) in ended.err
        assert "--fresh-database" in ended.err
        assert database.read_bytes() == damaged
    assert flwr("run", folder, "--fresh-database").code == 0
    assert len(json.loads(flwr("ls", "--format", "json").out)["runs"]) == 1
    (kept,) = [file for file in database.parent.glob("*damaged*") if file.is_file()]
    assert kept.read_bytes() == damaged


def test_a_sound_database_is_not_put_aside(flwr: Flwr, app: Callable[..., Path]) -> None:
    folder = app()
    for _ in range(2):
        flwr("run", folder, "--fresh-database", "-c", "num-server-rounds=1")
    assert len(json.loads(flwr("ls", "--format", "json").out)["runs"]) == 2


def test_unknown_runs(flwr: Flwr) -> None:
    ended = flwr("log", "42")
    assert ended.code == 1
    assert "42" in ended.err
    shown = flwr("ls", "--run-id", "42", "--format", "json")
    assert shown.code == 1
    assert json.loads(shown.out)["error"]["code"] == "run-not-found"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["9lives", "--framework", "numpy"], "no valid name"),
        (["my_app", "--framework", "numpy"], "For example: my-app"),
        (["a" * 33, "--framework", "numpy"], "no valid name"),
        (["numpy", "--framework", "numpy"], "would hide the Python module 'numpy'"),
        (["class", "--framework", "numpy"], "would hide"),
        (["@acme/app"], "is an app of a hub"),
        (["fine", "--framework", "nunpy"], "did you mean 'NumPy'?"),
        (["fine"], "Add --framework"),
        ([], "has no name"),
        (["fine", "--framework", "numpy", "--username", "a/b"], "no valid publisher"),
    ],
)
def test_bad_names_of_new_apps(flwr: Flwr, arguments: list[str], expected: str) -> None:
    ended = flwr("new", *arguments)
    assert ended.code == 1
    assert expected in ended.err
    assert not list(flwr.work.iterdir())


def test_all_that_is_wrong_with_a_new_app_is_told_at_once(flwr: Flwr) -> None:
    (flwr.work / "mine").write_text("a file")
    wrong = ["--framework", "nunpy", "--challenge", "cod", "--username", "a b"]
    ended = flwr("new", "mine", *wrong, "--format", "json")
    assert ended.code == 1
    message = json.loads(ended.out)["error"]["message"]
    assert message.splitlines()[::2] == [
        "The app cannot be made:",
        "  Choose another name, or remove it first.",
        f"  There are: {', '.join(FRAMEWORKS)}.",
        "  There are: Code, Finance, GeneralNLP, Medical.",
        "  Use letters, digits, '-' and '_' only.",
    ]
    for text in (
        "\n- 'mine' exists already\n",
        "\n- There is no template 'nunpy'; did you mean 'NumPy'?\n",
        "\n- There is no challenge 'cod'; did you mean 'Code'?\n",
        "\n- 'a b' is no valid publisher\n",
    ):
        assert text in message
    assert [file.name for file in flwr.work.iterdir()] == ["mine"]


def test_a_folder_in_the_way_is_kept(flwr: Flwr) -> None:
    (flwr.work / "mine").mkdir()
    (flwr.work / "mine" / "precious").write_text("data")
    ended = flwr("new", "mine", "--framework", "numpy")
    assert ended.code == 1
    assert "exists already" in ended.err
    assert [file.name for file in (flwr.work / "mine").iterdir()] == ["precious"]


def test_an_app_that_cannot_be_written(flwr: Flwr) -> None:
    (flwr.work / "mine").symlink_to("nowhere")
    ended = flwr("new", "mine", "--framework", "numpy", "--format", "json")
    assert ended.code == 1
    message = json.loads(ended.out)["error"]["message"]
    assert message.startswith("The app cannot be written: 'mine': File exists\n")
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("command", ["ls", "run", "build", "new mine --framework numpy"])
def test_a_current_folder_that_is_gone(flwr: Flwr, command: str) -> None:
    ended = flwr.in_shell(f"mkdir gone && cd gone && rmdir ../gone && flwr {command}")
    assert ended.code == 1
    assert ended.err.startswith("Error: The current folder is gone\n")


def test_connections_with_problems(flwr: Flwr) -> None:
    flwr.home.mkdir()
    (flwr.home / "config.toml").write_text("[superlink.hub]\nadress = 'h:1'\n")
    ended = flwr("ls")
    assert ended.code == 1
    assert "line 2, superlink.hub.adress" in ended.err
