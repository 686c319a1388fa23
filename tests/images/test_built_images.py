"""The images as they are built, in containers of their own; `make test-images` builds them."""

import hashlib
import json
import sys

import pytest
from containers import REPOSITORY, ROOT, USER, Engine, call
from federation import Federation

from flwr._version import __version__

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ENTRYPOINTS = {
    "base": None,
    "superlink": ["flower-superlink"],
    "supernode": ["flower-supernode"],
    "superexec": ["flower-superexec"],
    "serverapp": ["flwr-serverapp"],
    "clientapp": ["flwr-clientapp"],
}
HASHES = """
import hashlib, json, pathlib, flwr
root = pathlib.Path(flwr.__file__).parent
print(json.dumps({str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest()
                  for p in root.rglob("*.py")}))
"""
BUILD_TOOLS = ("gcc", "cc", "g++", "c++", "make", "ld", "as", "cmake", "cargo", "git")


@pytest.mark.parametrize("name", ENTRYPOINTS)
def test_an_image_is_what_the_documentation_says(name: str, engine: Engine) -> None:
    facts = engine.inspect("image", f"{REPOSITORY}/{name}:latest")
    sys.stdout.write(f"\n{name}: {facts['Size'] / 1e6:.0f} MB\n")
    config = facts["Config"]
    variables = dict(word.split("=", 1) for word in config["Env"])
    assert config.get("Entrypoint") == ENTRYPOINTS[name]
    assert (config["User"], config["WorkingDir"]) == (f"{USER}:{USER}", "/app")
    assert variables["HOME"] == "/app"
    assert variables["FLWR_STATE_DIR"] == "/app/state"
    assert variables["PYTHONUNBUFFERED"] == variables["PYTHONDONTWRITEBYTECODE"] == "1"
    labels = config["Labels"]
    assert labels["org.opencontainers.image.version"] == __version__.replace("+", "-")
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
    assert labels["org.opencontainers.image.title"] == "Wildflower"
    if name != "base":
        assert (config.get("Healthcheck") or facts["Healthcheck"])["Test"][0] == "CMD"
    looks = "; ".join(f"command -v {tool}" for tool in BUILD_TOOLS)
    script = f"id -u; id -g; {looks}; ls /wheels 2>/dev/null; flwr --version"
    ended = engine("run", "--rm", "--entrypoint", "sh", f"{REPOSITORY}/{name}:latest", "-c", script)
    assert ended.out.splitlines() == [str(USER), str(USER), f"Flower version: {__version__}"]


@pytest.mark.parametrize("name", ENTRYPOINTS)
def test_an_image_has_the_code_of_this_clone(name: str, engine: Engine) -> None:
    image = f"{REPOSITORY}/{name}:latest"
    found = engine("run", "--rm", "--entrypoint", "python", image, "-c", HASHES)
    package = ROOT / "src" / "flwr"
    assert json.loads(found.out) == {
        str(path.relative_to(package)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in package.rglob("*.py")
    }
    revision = call("git", "-C", ROOT, "rev-parse", "HEAD").out.strip() or "unknown"
    labels = engine.inspect("image", image)["Config"]["Labels"]
    assert labels["org.opencontainers.image.revision"] == revision


def test_the_state_is_in_the_mounted_folder_and_outlives_the_hub(federation: Federation) -> None:
    federation.make_state()
    hub = federation.hub("--database", "state.db")
    nodes = [federation.node(index) for index in range(2)]
    first = federation.submit()
    federation.finish(first, hub, *nodes)
    assert (federation.state / "state.db").stat().st_uid == USER
    assert (federation.state / "state.db.blobs").is_dir()
    assert hub.stop() == 0
    hub.remove()

    hub = federation.hub("--database", "state/state.db")  # the same file, said otherwise
    assert federation.status(first) == "finished:completed"
    second = federation.submit(rounds=100)
    federation.until(lambda: "[ROUND 3/" in federation.events(second), hub)
    hub.send("KILL")
    assert hub.wait() == 137
    hub.remove()
    hub = federation.hub("--database", "state.db")
    assert federation.status(second) == "running"
    federation.finish(second, hub, *nodes)
    assert {str(run["run-id"]) for run in federation.runs()} == {first, second}
    assert [container.stop() for container in (*nodes, hub)] == [0, 0, 0]


def test_without_database_nothing_is_kept(federation: Federation) -> None:
    federation.make_state()
    federation.hub(digits=False)
    assert federation.runs() == []
    assert list(federation.state.iterdir()) == []


@pytest.mark.parametrize("image", ["superlink"])
def test_a_folder_of_another_user_is_one_clear_error(image: str, federation: Federation) -> None:
    federation.make_state(owner=0)
    hub = federation.start(
        federation.image(image, digits=False),
        *("--insecure", "--database", "state.db"),
        options=("--volume", f"{federation.state}/:/app/state"),
    )
    assert hub.wait() == 1
    assert "sudo chown -R 49999:49999 /app/state" in hub.output
    assert hub.output.count("Exit Code") == 1
    assert "Traceback" not in hub.output
    assert list(federation.state.iterdir()) == []


def test_what_root_has_left_is_one_clear_error(federation: Federation) -> None:
    federation.make_state()
    as_root = federation.hub("--database", "state.db", options=("--user", "root"), digits=False)
    assert as_root.stop() == 0
    hub = federation.start(
        federation.image("superlink", digits=False),
        *("--insecure", "--database", "state.db"),
        options=("--volume", f"{federation.state}/:/app/state"),
    )
    assert hub.wait() == 1
    assert "sudo chown -R 49999:49999 /app/state" in hub.output
    assert "Traceback" not in hub.output


def test_root_may_write_what_belongs_to_root(federation: Federation) -> None:
    federation.make_state(owner=0)
    hub = federation.hub("--database", "state.db", options=("--user", "root"), digits=False)
    assert (federation.state / "state.db").stat().st_uid == 0
    assert hub.stop() == 0


def test_a_named_volume_needs_no_chown(federation: Federation) -> None:
    options = ("--volume", "/app/state")  # a volume without a name, removed with its container
    hub = federation.hub("--database", "state.db", options=options, state=False, digits=False)
    assert "state.db" in hub.run("ls", "/app/state").output
    assert hub.stop() == 0


def test_the_root_file_system_may_be_read_only(federation: Federation) -> None:
    federation.make_state()
    read_only = ("--read-only", "--tmpfs", "/tmp", "--volume", "/app/.flwr")
    hub = federation.hub("--database", "state.db", options=read_only)
    nodes = [federation.node(index, options=read_only) for index in range(2)]
    assert hub.run("touch", "/python/x").code != 0
    federation.finish(federation.submit(), hub, *nodes)
    assert (federation.state / "state.db").is_file()


def test_app_processes_in_containers_of_their_own(federation: Federation) -> None:
    process = "--isolation=process"
    federation.make_state()
    hub = federation.hub(process, "--database=state.db", digits=False)
    hosts = []
    for index, (image, port) in enumerate(
        zip(("superexec", "clientapp"), federation.node_ports, strict=True)
    ):
        address = f"127.0.0.1:{port}"
        federation.node(index, process, f"--clientappio-api-address={address}", digits=False)
        words = ["--plugin-type=clientapp"] if image == "superexec" else []
        words += ["--insecure", f"--appio-api-address={address}"]
        hosts.append(federation.start(federation.image(image, digits=True), *words))
    to_hub = ("--insecure", f"--appio-api-address=127.0.0.1:{federation.app_port}")
    launcher = federation.start(
        federation.image("superexec", digits=True), "--plugin-type=serverapp", *to_hub
    )
    federation.finish(federation.submit(), hub, launcher, *hosts)
    assert launcher.is_healthy()
    assert launcher.stop() == 0
    launcher = federation.start(federation.image("serverapp", digits=True), "--run-once", *to_hub)
    federation.finish(federation.submit(), hub, launcher, *hosts)
    assert launcher.wait() == 0
    assert [host.stop() for host in hosts] == [0, 0]
