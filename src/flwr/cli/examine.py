"""The facts for ``flwr doctor``: what is looked at on this machine, and at a SuperLink."""

import os
import platform
import shutil
import socket
import ssl
import stat
import time
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flwr.cli.checks import Hub, Machine, Roots, Simulation
from flwr.cli.output import bytes_text
from flwr.cli.superlink import CONTROL_PORT
from flwr.config import Place
from flwr.errors import FlwrError

if TYPE_CHECKING:
    from flwr.transport.address import Address
    from flwr.transport.control import Run

SECONDS = 5.0  # for each step of the way to a SuperLink
_PACKAGES = (
    "flwr", "numpy", "torch", "torchvision", "lightning", "tensorflow", "jax", "scikit-learn",
    "xgboost", "transformers", "datasets", "flwr-datasets", "ray",
)  # fmt: skip


def machine() -> Machine:
    """Look at this machine and at the user's files; nothing is created but ``FLWR_HOME``."""
    from flwr.config import home, read_connections

    told = Machine(
        python=f"{platform.python_version()} on {platform.platform(terse=True)}",
        packages=dict(_versions()),
        home=os.environ.get("FLWR_HOME") or str(Path("~/.flwr").expanduser()),
        environment={name: text for name, text in os.environ.items() if name[:5] == "FLWR_"},
        open_files=_open_files(),
    )
    try:
        told = replace(told, home=str(home()))
    except FlwrError as error:
        return replace(told, home_error=error)
    told = replace(told, disk_free=shutil.disk_usage(told.home).free)
    try:
        known = read_connections()
        text = f"{known.path}: {', '.join(known.by_name)}; the default is {known.default}"
        if not known.path.exists():
            text = f"there is no {known.path}, and none is needed"
        told = replace(told, configuration=text)
    except FlwrError as error:
        told = replace(told, configuration_error=error)
    try:
        return replace(told, database=_database())
    except FlwrError as error:
        return replace(told, database_error=error)


def simulation(place: Place) -> Simulation:
    """Look at what a run in place would have."""
    from flwr.simulation import capacity

    options, nodes = place.options, place.options.num_supernodes
    workers, reason, misfit = 0, "", ""
    try:
        needs = capacity.ClientResources(options.num_cpus, options.num_gpus)
        plan = capacity.plan(needs, nodes, options.init_args)
        workers, reason = plan.workers, plan.reason
    except ValueError as error:
        misfit = str(error)
    return Simulation(
        nodes,
        workers,
        reason,
        misfit,
        capacity.available_cpus(),
        len(capacity.visible_gpus()),
        capacity.free_memory(),
        hasattr(os, "memfd_create") and os.environ.get("FLWR_SHM") != "file",
        shutil.disk_usage("/dev/shm").total if Path("/dev/shm").is_dir() else None,  # noqa: S108
    )


def hub(place: Place) -> Hub:
    """Go the way to a SuperLink, step by step, as far as it goes."""
    from flwr.transport.address import parse
    from flwr.transport.tls import shown_certificate

    told = Hub(place.address or "", secure=not place.insecure, roots=_roots(place))
    try:
        address = parse(told.address, CONTROL_PORT)
        told = replace(
            told,
            address=str(address),
            numbers=_numbers(address.host, address.port),
            certificate=shown_certificate(address, SECONDS) if told.secure else None,
        )
        return _ask(told, place, address)
    except FlwrError as error:
        return replace(told, error=error)


def _ask(told: Hub, place: Place, address: "Address") -> Hub:
    """Ask a SuperLink for its clock, its runs and its nodes."""
    from flwr.transport.client import Link
    from flwr.transport.control import NODES, RUNS, RunsQuestion
    from flwr.transport.parts import Nothing
    from flwr.transport.tls import ClientTls

    tls = None if place.insecure else ClientTls(place.root_certificates)
    with Link(address, tls=tls, patience=0.0) as link:
        link.call(RUNS, RunsQuestion(limit=1))  # the connection is made before time is taken
        before, began = time.time(), time.monotonic()
        answer = link.call(RUNS, RunsQuestion())
        uncertain = (time.monotonic() - began) / 2
        nodes = link.call(NODES, Nothing()).nodes
    online = sum(node.online for node in nodes)
    live = [run for run in answer.runs if not run.state.startswith("finished")]
    return replace(
        told,
        ahead=answer.now - (before + uncertain),
        uncertain=uncertain,
        disk_free=answer.disk_free,
        online=online,
        offline=len(nodes) - online,
        live=len(live),
        waiting=tuple(run.run_id for run in live if _waits(run, online)),
    )


def _waits(run: "Run", online: int) -> bool:
    """Whether a run waits for its process, or for the first of its nodes."""
    return run.state != "running" or (not online and not run.nodes)


def _versions() -> list[tuple[str, str]]:
    from flwr._version import __version__

    found = [("flwr", __version__)]
    for name in _PACKAGES[1:]:
        try:
            found.append((name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    return found


def _open_files() -> tuple[int, int] | None:
    try:
        import resource
    except ImportError:  # a system without limits
        return None
    return resource.getrlimit(resource.RLIMIT_NOFILE)


def _database() -> str:
    """Open the run database if there is one; say how many runs are in it."""
    from flwr.config import state_dir

    path = state_dir() / "runs.db"
    if not path.exists():
        return f"there is none yet; the first run makes {path}"
    from flwr.cli.local_store import open_store
    from flwr.store.format import REVISION

    with open_store() as store:
        runs = len(store.runs())
    size = bytes_text(path.stat().st_size)
    return f"{path}: {runs} runs, {size}, revision {REVISION}"


def _numbers(host: str, port: int) -> tuple[str, ...]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return ()  # asking it will say so
    return tuple(dict.fromkeys(str(where[0]) for *_, where in found))


def _roots(place: Place) -> Roots | None:
    path = place.root_certificates
    if path is None or place.insecure:
        return None
    from flwr.transport.tls import ClientTls

    try:
        context = ClientTls(path).context()
    except FlwrError as error:
        return Roots(str(path), error)
    now, certificates = datetime.now(UTC), _authorities(context)
    expired = tuple(
        _subject(each)
        for each in certificates
        if datetime.fromtimestamp(ssl.cert_time_to_seconds(each["notAfter"]), UTC) < now
    )
    anybody = bool(path.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH))
    return Roots(str(path), None, len(certificates), expired, anybody)


def _subject(certificate: dict[str, Any]) -> str:
    return ", ".join(value for part in certificate["subject"] for _, value in part)


def _authorities(context: ssl.SSLContext) -> list[dict[str, Any]]:
    return list(context.get_ca_certs())
