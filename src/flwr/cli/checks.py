"""What ``flwr doctor`` makes of facts: checks, each with what to do. Nothing is probed here."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from flwr.cli.output import bytes_text, duration_text
from flwr.config import Place
from flwr.config.spelling import nearest
from flwr.errors import FlwrError
from flwr.transport.call import Failure, Refusal
from flwr.transport.tls import Certificate

MOST_CLOCK_SECONDS = 5.0  # between this machine and a hub: signatures and times in logs
SOON = timedelta(days=14)  # in which a certificate is to be renewed
LITTLE_DISK, LITTLE_MEMORY, LITTLE_SHM = 1 << 30, 1 << 29, 1 << 28  # bytes
FEW_FILES = 1024

# after FLWR_: first those that are read here, then those that change nothing
READ = ("HOME", "LOG_LEVEL", "ARTIFACTS_DIR", "STATE_DIR", "SHM", "UVLOOP")
IDLE = (
    "TELEMETRY_ENABLED", "TELEMETRY_LOGGING", "TELEMETRY_PARTNER_ID", "DISABLE_UPDATE_CHECK",
    "LOCAL_SUPERLINK_HTTP_API_PORT", "LOCAL_CONTROL_API_PORT",
    "DISABLE_RUNTIME_DEPENDENCY_INSTALLATION", "SUPEREXEC_TASK_POLL_INTERVAL",
    "PRIVATE_MAX_ARRAY_CHUNK_SIZE", "PRIVATE_MAX_CONCURRENT_OBJ_PUSHES",
    "PRIVATE_MAX_CONCURRENT_OBJ_PULLS", "DATABASE", "ENABLE_EVENT_LOG", "OIDC_ENABLED",
    "TRACING_ENABLED", "INTERNAL_GRPC_CONTROL_API", "INTERNAL_GRPC_FLEET_API",
    "SUPERGRID_API_URL", "SUPERGRID_ADDRESS", "CHAT_SUPERLINK", "LICENSE_KEY", "LICENSE_URL",
)  # fmt: skip


class Status(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Check:
    """One line of the doctor.

    Attributes
    ----------
    name : str
        What was looked at.
    status : Status
        How it came out.
    message, advice : str
        What was found, and what to do.
    """

    name: str
    status: Status
    message: str
    advice: str = ""


@dataclass(frozen=True)
class Machine:
    """What is known of this machine and of this user's files.

    Attributes
    ----------
    python : str
        Its version.
    packages : mapping of str to str
        Versions of those that are installed.
    home : str
        ``FLWR_HOME``.
    home_error, database_error, configuration_error : FlwrError or None
        Why that cannot be used.
    disk_free : int or None
        Bytes where the home lies.
    database : str
        What there is to say of the run database.
    configuration : str
        What there is to say of ``config.toml``.
    environment : mapping of str to str
        The variables that begin with ``FLWR_``.
    open_files : tuple of int or None
        How many a process may have open, and what that may be raised to; below 0: no limit.
    """

    python: str
    packages: Mapping[str, str]
    home: str
    home_error: FlwrError | None = None
    disk_free: int | None = None
    database: str = ""
    database_error: FlwrError | None = None
    configuration: str = ""
    configuration_error: FlwrError | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    open_files: tuple[int, int] | None = None


@dataclass(frozen=True)
class Simulation:
    """What a run in place would have.

    Attributes
    ----------
    nodes, workers : int
        Virtual nodes, and how many of them work at a time.
    reason : str
        What bounds that.
    misfit : str
        Why not even one client fits; empty if one does.
    cpus : float
        Of this machine, for this process.
    gpus, memory : int
        GPUs; bytes that are free.
    memfd : bool
        Whether the system has anonymous shared memory.
    shm : int or None
        Size of ``/dev/shm`` in bytes.
    """

    nodes: int
    workers: int
    reason: str
    misfit: str
    cpus: float
    gpus: int
    memory: int
    memfd: bool
    shm: int | None


@dataclass(frozen=True)
class Roots:
    """The file of root certificates.

    Attributes
    ----------
    path : str
        Where it is.
    error : FlwrError or None
        Why it cannot be used.
    count : int
        How many certificates are in it.
    expired : tuple of str
        Those of them whose time is over.
    open_to_all : bool
        Whether anybody may write to it.
    """

    path: str
    error: FlwrError | None = None
    count: int = 0
    expired: tuple[str, ...] = ()
    open_to_all: bool = False


@dataclass(frozen=True)
class Hub:
    """What is known of a SuperLink, as far as it was reached.

    Attributes
    ----------
    address : str
        As it is configured.
    numbers : tuple of str
        Of the machine that its name stands for.
    error : FlwrError or None
        What ended the way there.
    roots : Roots or None
        The root certificates that are configured.
    secure : bool
        With TLS.
    certificate : Certificate or None
        What it shows.
    ahead : float or None
        Seconds that its clock is ahead of this one; None if it was not asked.
    uncertain : float
        Half of the time that asking took.
    disk_free : int or None
        Bytes where it keeps its state; None if it does not tell.
    online, offline : int
        Nodes.
    waiting : sequence of int
        Runs that are pending or starting, and those that run, have no node, and need one.
    live : int
        Runs that have not ended.
    """

    address: str
    numbers: tuple[str, ...] = ()
    error: FlwrError | None = None
    roots: Roots | None = None
    secure: bool = False
    certificate: Certificate | None = None
    ahead: float | None = None
    uncertain: float = 0.0
    disk_free: int | None = None
    online: int = 0
    offline: int = 0
    waiting: Sequence[int] = ()
    live: int = 0


def of_machine(machine: Machine) -> list[Check]:
    """Judge this machine."""
    return [
        _python(machine),
        *_packages(machine.packages),
        *_home(machine),
        *_environment(machine.environment),
        *_open_files(machine.open_files),
    ]


def of_place(place: Place) -> list[Check]:
    """Say which connection it is."""
    name = f"'{place.name}'" if place.name else "no connection"
    where = f"the SuperLink at {place.address}" if place.address else "in place, on this machine"
    checks = [Check("connection", Status.OK, f"{name}: {where} ({place.why})")]
    if place.address and place.insecure:
        checks.append(
            Check(
                "encryption",
                Status.WARNING,
                "insecure = true: whoever is on the network reads what is sent",
                "On a network that is not yours alone, start the SuperLink with certificates and "
                "give root-certificates here.",
            )
        )
    return checks


def failed(name: str, error: FlwrError) -> Check:
    """Return the check of something that cannot be used."""
    return Check(name, Status.PROBLEM, error.message, error.hint)


def of_simulation(facts: Simulation) -> list[Check]:
    """Judge what a run in place would have."""
    checks = []
    gpus = f", {facts.gpus} GPUs" if facts.gpus else ""
    if facts.misfit:
        advice = "Lower client-resources, or raise init-args, in the options of the federation."
        checks.append(Check("cpus", Status.PROBLEM, facts.misfit, advice))
    else:
        text = (
            f"{facts.cpus:g} CPUs{gpus}: of {facts.nodes} nodes, {facts.workers} work at a time "
            f"({facts.reason})"
        )
        checks.append(Check("cpus", Status.OK, text))
    memory = f"{bytes_text(facts.memory)} are free"
    if facts.memory < LITTLE_MEMORY:
        advice = "End other programs, or run fewer clients at a time: client-resources-num-cpus."
        checks.append(Check("memory", Status.WARNING, f"only {memory}", advice))
    else:
        checks.append(Check("memory", Status.OK, memory))
    return [*checks, _shared_memory(facts)]


def of_hub(hub: Hub, now: datetime) -> list[Check]:
    """Judge the way to a SuperLink, step by step as far as it was gone, and what it told."""
    return [*_roots(hub.roots), *_way(hub), *_certificate(hub, now), *_answers(hub)]


def _python(machine: Machine) -> Check:
    return Check("python", Status.OK, f"Python {machine.python}")


def _packages(packages: Mapping[str, str]) -> Iterator[Check]:
    listed = ", ".join(f"{name} {version}" for name, version in packages.items())
    yield Check("packages", Status.OK, listed)
    if "ray" in packages:
        yield Check(
            "packages",
            Status.WARNING,
            f"ray {packages['ray']} is installed and not used",
            "Simulations have an engine of their own here: pip uninstall ray frees some room.",
        )


def _home(machine: Machine) -> Iterator[Check]:
    if machine.home_error is not None:
        yield failed("home", machine.home_error)
        return
    yield Check("home", Status.OK, f"{machine.home} can be written")
    if machine.disk_free is not None:
        room = f"{bytes_text(machine.disk_free)} are free where {machine.home} lies"
        if machine.disk_free < LITTLE_DISK:
            advice = "Delete old runs (FLWR_HOME/wildflower/runs), or set FLWR_HOME elsewhere."
            yield Check("disk", Status.WARNING, f"only {room}", advice)
        else:
            yield Check("disk", Status.OK, room)
    if machine.configuration_error is not None:
        yield failed("configuration", machine.configuration_error)
    else:
        yield Check("configuration", Status.OK, machine.configuration)
    if machine.database_error is not None:
        yield failed("database", machine.database_error)
    else:
        yield Check("database", Status.OK, machine.database)


def _environment(variables: Mapping[str, str]) -> Iterator[Check]:
    for name, value in sorted(variables.items()):
        short = name.removeprefix("FLWR_")
        if short == "LOG_LEVEL" and not isinstance(logging.getLevelName(value.upper()), int):
            advice = "Levels are DEBUG, INFO, WARNING, ERROR and CRITICAL."
            yield Check("environment", Status.WARNING, f"{name}={value!r} is no level", advice)
        elif short in READ:
            yield Check("environment", Status.OK, f"{name}={value}")
        elif short in IDLE:
            yield Check("environment", Status.OK, f"{name} is set, and has no effect here")
        else:
            alike = nearest(short, READ) or nearest(short, IDLE)
            advice = f"Did you mean FLWR_{alike}?" if alike else "Unset it."
            yield Check("environment", Status.WARNING, f"{name} is no known variable", advice)


def _open_files(limits: tuple[int, int] | None) -> Iterator[Check]:
    if limits is None:
        return
    soft, hard = limits
    text = "a process may have any number of files open"
    if soft >= 0:
        text = f"a process may have {soft} files open"
    if 0 <= soft < FEW_FILES and 0 <= hard < FEW_FILES:
        advice = (
            f"Large simulations and SuperLinks need more: raise it, as with ulimit -n {FEW_FILES}."
        )
        yield Check("open files", Status.WARNING, f"{text}, which is little", advice)
    else:
        yield Check("open files", Status.OK, text)


def _shared_memory(facts: Simulation) -> Check:
    if not facts.memfd:
        advice = "Temporary files are used instead: have TMPDIR name a folder on a fast disk."
        return Check("shared memory", Status.WARNING, "not offered by this system", advice)
    if facts.shm is not None and facts.shm < LITTLE_SHM:
        return Check(
            "shared memory",
            Status.WARNING,
            f"only {bytes_text(facts.shm)} in /dev/shm; models travel without it",
            "Data loaders of PyTorch with workers need it: in a container, --shm-size=1g.",
        )
    size = "" if facts.shm is None else f", /dev/shm has {bytes_text(facts.shm)}"
    return Check("shared memory", Status.OK, f"anonymous (memfd){size}")


def _roots(roots: Roots | None) -> Iterator[Check]:
    if roots is None:
        return
    if roots.error is not None:
        yield failed("root certificates", roots.error)
        return
    if roots.open_to_all:
        yield Check(
            "root certificates",
            Status.PROBLEM,
            f"anybody on this machine may write to {roots.path}, and so choose whom you trust",
            f"chmod go-w {roots.path}",
        )
    elif roots.expired:
        text = f"{roots.path}: expired is {', '.join(roots.expired)}"
        yield Check("root certificates", Status.WARNING, text, "Get the CA's new certificate.")
    else:
        text = f"{roots.path}: {roots.count} certificate{'s' * (roots.count != 1)} of CAs"
        yield Check("root certificates", Status.OK, text)


_STEPS = ("address", "name", "port", "tls", "server")
_STEP_OF: dict[str, str] = {
    Failure.ADDRESS: "address",
    Failure.UNKNOWN_HOST: "name",
    Failure.CONNECTION_REFUSED: "port",
    Failure.TIMED_OUT: "port",
    Failure.UNREACHABLE: "port",
    Failure.FOREIGN_SERVER: "server",
    Refusal.WRONG_PORT: "server",
    Refusal.VERSION: "server",
}


def step_of(error: FlwrError) -> str:
    """Return at which step of the way to a SuperLink an error ended it."""
    code = getattr(error, "code", "")
    if code.startswith("tls"):
        return "tls"
    return _STEP_OF.get(code, "server")


def _way(hub: Hub) -> Iterator[Check]:
    """Say what is known of each step up to the one that failed."""
    broken = step_of(hub.error) if hub.error is not None else ""
    passed = {
        "address": hub.address,
        "name": ", ".join(hub.numbers),
        "port": "a server listens there",
        "tls": "agreed, and its certificate is believed" if hub.secure else "",
        "server": "a SuperLink, of a version that works with this one",
    }
    for step in _STEPS:
        if step == broken:
            assert hub.error is not None
            yield failed(step, hub.error)
            return
        if passed[step]:
            yield Check(step, Status.OK, passed[step])


def _certificate(hub: Hub, now: datetime) -> Iterator[Check]:
    shown = hub.certificate
    if shown is None or (hub.error is not None and step_of(hub.error) == "tls"):
        return
    text = (
        f"for {', '.join(shown.names) or 'no name'}; by {shown.issuer or 'an unnamed CA'}; "
        f"until {shown.not_after:%Y-%m-%d}"
    )
    left = shown.not_after - now
    if hub.error is None and left < SOON:
        text += f", that is for {duration_text(left.total_seconds())}"
        yield Check("certificate", Status.WARNING, text, "Have the SuperLink's renewed.")
    else:
        yield Check("certificate", Status.OK, text)


def _answers(hub: Hub) -> Iterator[Check]:
    if hub.error is not None or hub.ahead is None:
        return
    ahead, word = abs(hub.ahead), "ahead of" if hub.ahead > 0 else "behind"
    if ahead - hub.uncertain > MOST_CLOCK_SECONDS:
        text = f"the SuperLink's is {duration_text(ahead)} {word} this machine's"
        yield Check("clock", Status.WARNING, text, "Have both machines set theirs by NTP.")
    else:
        text = (
            f"the SuperLink's and this one differ by less than {ahead + hub.uncertain + 0.1:.1f} s"
        )
        yield Check("clock", Status.OK, text)
    if hub.disk_free is not None:
        room = f"{bytes_text(hub.disk_free)} are free where the SuperLink keeps its state"
        little = hub.disk_free < LITTLE_DISK
        status, only = (Status.WARNING, "only ") if little else (Status.OK, "")
        advice = "Make room there, or move its --database." if little else ""
        yield Check("disk of the SuperLink", status, f"{only}{room}", advice)
    away = f", {hub.offline} away" if hub.offline else ""
    if hub.online:
        yield Check("nodes", Status.OK, f"{hub.online} online{away}")
    else:
        yield Check(
            "nodes",
            Status.WARNING,
            f"none is online{away}",
            "Start them: flower-supernode --superlink HOST:9092 (the SuperLink's Fleet API). "
            "Simulations need none.",
        )
    if hub.waiting:
        shown = ", ".join(map(str, list(hub.waiting)[:3])) + ", ..." * (len(hub.waiting) > 3)
        text = f"{hub.live} live, of which {len(hub.waiting)} wait: {shown}"
        yield Check("runs", Status.WARNING, text, "For what, says: flwr why RUN_ID")
    else:
        yield Check("runs", Status.OK, f"{hub.live} live")
