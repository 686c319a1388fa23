"""Containers of the built images, ended and removed by their ids."""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DIGITS = ROOT / "examples" / "quickstart-numpy"
APP_WHEELS = ROOT / "build" / "images" / "app-wheels"
REPOSITORY = os.environ.get("REPOSITORY", "wildflower")
USER = 49999
GUARD = 300.0  # seconds that nothing here takes, against hanging


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def output(self) -> str:
        """All that it printed."""
        return self.out + self.err


def call(*command: str | Path, environment: dict[str, str] | None = None) -> Ended:
    """Run a command to its end."""
    done = subprocess.run(
        [str(word) for word in command],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=GUARD,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@dataclass
class Engine:
    """Docker, or Podman with what it needs on this machine.

    Attributes
    ----------
    program : str
        ``docker`` or ``podman``.
    options : list of str
        For ``run``.
    """

    program: str
    options: list[str] = field(default_factory=list)

    @classmethod
    def find(cls, image: str = f"{REPOSITORY}/base:latest") -> "Engine":
        """Return one that can run a container of an image here."""
        if shutil.which("docker") and call("docker", "info").code == 0:
            return cls("docker")
        limits = []
        for name, number in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)):
            hard = resource.getrlimit(number)[1]
            most = 4096 if hard == resource.RLIM_INFINITY else min(hard, 4096)
            limits += ["--ulimit", f"{name}={most}:{most}"]
        tried = []
        for options in ([], ["--runtime", shutil.which("runc", path=_PATH) or "runc"]):
            engine = cls("podman", [*options, *(limits if options else [])])
            ended = engine("run", "--rm", "--entrypoint", "true", image)
            if ended.code == 0:
                return engine
            tried.append(ended.output)
        raise AssertionError(f"no container can be run here: {tried}")

    def __call__(self, verb: str, *words: str | Path) -> Ended:
        """Run one of its commands."""
        first: list[str | Path] = []
        options = list(self.options) if verb == "run" else []
        if options[:1] == ["--runtime"]:
            first, options = [*options[:2]], options[2:]  # it stands before the verb
        network = ["--network=host"] if verb == "run" else []
        return call(self.program, *first, verb, *network, *options, *words)

    def inspect(self, kind: str, name: str) -> dict[str, Any]:
        """Return what it knows of an image or a container."""
        ended = self("inspect", "--type", kind, name)
        assert ended.code == 0, ended
        (facts,) = json.loads(ended.out)
        assert isinstance(facts, dict)
        return facts

    def build_app_image(self, image: str) -> str:
        """Add what the digits app imports to an image; return the name of the result."""
        name = f"{REPOSITORY}-digits/{image}"
        words: list[str | Path] = ["--build-arg", f"IMAGE={REPOSITORY}/{image}:latest"]
        if self.program == "podman":  # from what was fetched before
            words += ["--isolation", "chroot", "--format", "docker"]
            words += ["--volume", f"{APP_WHEELS}:/wheels:ro"]
            words += ["--build-arg", "PIP_NO_INDEX=1", "--build-arg", "PIP_FIND_LINKS=/wheels"]
        with tempfile.TemporaryDirectory() as context:
            shutil.copy(DIGITS / "pyproject.toml", context)
            file = ROOT / "docker" / "app.Dockerfile"
            ended = self("build", "--file", file, "--tag", name, *words, context)
        assert ended.code == 0, ended.output
        return name


_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


class Container:
    """A container that was started; :meth:`remove` ends it in any case.

    Parameters
    ----------
    engine : Engine
        What runs it.
    image : str
        Its image.
    options, command : sequence of str
        Before and after the image's name.
    """

    def __init__(
        self, engine: Engine, image: str, options: Sequence[str], command: Sequence[str]
    ) -> None:
        self._engine = engine
        started = engine("run", "--detach", *options, image, *command)
        assert started.code == 0, started.output
        self.id = started.out.strip()

    @property
    def output(self) -> str:
        """What it has printed."""
        return self._engine("logs", self.id).output

    @property
    def state(self) -> dict[str, Any]:
        """Whether it runs, and how it ended."""
        state = self._engine.inspect("container", self.id)["State"]
        assert isinstance(state, dict)
        return state

    def send(self, signal: str) -> None:
        """Send a signal to its first process."""
        ended = self._engine("kill", "--signal", signal, self.id)
        assert ended.code == 0, ended.output

    def stop(self) -> int:
        """Ask it to end as ``docker stop`` does; return the status (137: it had to be killed)."""
        ended = self._engine("stop", "--time", "20", self.id)
        assert ended.code == 0, ended.output
        return self.wait()

    def wait(self) -> int:
        """Wait for its end; return the status."""
        return int(self._engine("wait", self.id).out)

    def run(self, *command: str) -> Ended:
        """Run a command in it."""
        return self._engine("exec", self.id, *command)

    def is_healthy(self) -> bool:
        """Run the image's health check."""
        check = self._engine.inspect("container", self.id)["Config"]["Healthcheck"]["Test"]
        assert check[0] == "CMD", check
        return self.run(*check[1:]).code == 0

    def remove(self) -> None:
        """End and remove it."""
        self._engine("rm", "--force", "--volumes", self.id)


if __name__ == "__main__":
    Engine.find(sys.argv[1])
