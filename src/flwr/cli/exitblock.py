"""How servers and app processes say why they end: a documented number, what happened, what to do.

The number is printed, as supervisors' logs and users' searches expect it; the process itself ends
with status 0 for numbers below 100 and with 1 otherwise. This is the one list of the numbers;
``docs/reference/exit-codes.md`` shows it.
"""

from dataclasses import dataclass
from logging import ERROR, INFO

from flwr.log import log

SIGINT, SIGTERM = 1, 3  # ended by a signal, cleanly
SUPERLINK_INVALID_ARGS = 104
SUPERLINK_DATABASE_SCHEMA_MISMATCH = 105
CLIENTAPP_COMMUNICATION_ERROR = 250
SUPERNODE_NODE_AUTH_KEYS_INVALID = 302
SUPERNODE_INVALID_TRUSTED_ENTITIES = 304
SUPERNODE_CONNECTION_ERROR = 305
SUPEREXEC_AUTH_SECRET_LOAD_FAILED = 401
SUPEREXEC_INVALID_EXECUTOR_CONFIG = 402
ADDRESS_INVALID = 600
ROOT_CERTIFICATES_INCOMPATIBLE = 603
PATH_INVALID = 604
SERVER_CERTIFICATES_INVALID = 605
VERSION_INCOMPATIBLE = 606


@dataclass(frozen=True)
class ExitCode:
    """A number that ends a process or a run.

    Attributes
    ----------
    number : int
        What is printed.
    name : str
        What the interface of others calls it.
    meaning, advice : str
        What it says, and what to do.
    printed : bool
        Whether a process of this project can end with it; the others are kept free.
    """

    number: int
    name: str
    meaning: str
    advice: str = ""
    printed: bool = True

    @property
    def status(self) -> int:
        """What the process ends with."""
        return 0 if self.number < 100 else 1


def _never(number: int, name: str, meaning: str) -> ExitCode:
    return ExitCode(number, name, meaning, printed=False)


_FIT_APP = "Read what the ServerApp printed: flwr log RUN_ID, and flwr why RUN_ID."
_LIST = (
    ExitCode(0, "SUCCESS", "It ended as it should."),
    ExitCode(1, "GRACEFUL_EXIT_SIGINT", "Ended by Ctrl-C (SIGINT)."),
    _never(2, "GRACEFUL_EXIT_SIGQUIT", "Ended by SIGQUIT."),
    ExitCode(3, "GRACEFUL_EXIT_SIGTERM", "Ended by SIGTERM."),
    _never(100, "SUPERLINK_THREAD_CRASH", "A background thread of the SuperLink died."),
    _never(101, "SUPERLINK_LICENSE_INVALID", "There are no licences here."),
    _never(102, "SUPERLINK_LICENSE_MISSING", "There are no licences here."),
    _never(103, "SUPERLINK_LICENSE_URL_INVALID", "There are no licences here."),
    ExitCode(
        104,
        "SUPERLINK_INVALID_ARGS",
        "The SuperLink cannot do what these options ask for.",
        "Change the options that are named; see --help.",
    ),
    ExitCode(
        105,
        "SUPERLINK_DATABASE_SCHEMA_MISMATCH",
        "The database is not one that this version can use.",
        "Give another file with --database, or use the version that wrote it.",
    ),
    ExitCode(
        200,
        "SERVERAPP_STRATEGY_PRECONDITION_UNMET",
        "Replies cannot be aggregated as they are.",
        _FIT_APP,
    ),
    ExitCode(201, "SERVERAPP_EXCEPTION", "The ServerApp raised an exception.", _FIT_APP),
    ExitCode(202, "SERVERAPP_STRATEGY_AGGREGATION_ERROR", "The aggregation failed.", _FIT_APP),
    _never(203, "SERVERAPP_RUN_START_REJECTED", "A run could not be started any more."),
    ExitCode(
        250,
        "CLIENTAPP_COMMUNICATION_ERROR",
        "The process that runs ClientApps lost its SuperNode.",
        "See whether the SuperNode runs, and at which address it serves ClientApps.",
    ),
    _never(300, "SUPERNODE_REST_ADDRESS_INVALID", "Addresses need no http:// here."),
    _never(301, "SUPERNODE_NODE_AUTH_KEYS_REQUIRED", "Only one of two key files was given."),
    ExitCode(
        302,
        "SUPERNODE_NODE_AUTH_KEYS_INVALID",
        "The SuperNode cannot do what its keys ask for.",
        "Start without them, in a network that you trust.",
    ),
    _never(
        303,
        "SUPERNODE_STARTED_WITHOUT_TLS_BUT_NODE_AUTH_ENABLED",
        "A key was given together with --insecure; here 302 says so.",
    ),
    ExitCode(
        304,
        "SUPERNODE_INVALID_TRUSTED_ENTITIES",
        "The SuperNode cannot do what --trusted-entities asks for.",
        "Start without it, and let only apps that you trust run at the SuperLink.",
    ),
    ExitCode(
        305,
        "SUPERNODE_CONNECTION_ERROR",
        "The SuperNode never reached its SuperLink.",
        "Try the address by itself: curl http://HOST:PORT/health (with TLS: https, --cacert).",
    ),
    _never(400, "SUPEREXEC_INVALID_PLUGIN_CONFIG", "Plugins have no settings here."),
    ExitCode(
        401,
        "SUPEREXEC_AUTH_SECRET_LOAD_FAILED",
        "Launchers of app processes are not authenticated in this version.",
        "Leave the secret out, and close the port of app processes to others.",
    ),
    ExitCode(
        402,
        "SUPEREXEC_INVALID_EXECUTOR_CONFIG",
        "The executor is not one that there is here.",
        "Start one flower-superexec on each machine, or in each pod, that is to run apps.",
    ),
    _never(500, "FLWRCLI_NODE_AUTH_PUBLIC_KEY_INVALID", "A public key is none that can be used."),
    ExitCode(
        600,
        "COMMON_ADDRESS_INVALID",
        "An address cannot be read, or not be listened at.",
        "Write it as host:port, and take a port that is free.",
    ),
    _never(601, "COMMON_MISSING_EXTRA_REST", "HTTP needs no extra here."),
    _never(602, "COMMON_TLS_NOT_SUPPORTED", "App processes speak TLS here."),
    ExitCode(
        603,
        "COMMON_TLS_ROOT_CERTIFICATES_INCOMPATIBLE",
        "--insecure and --root-certificates exclude each other.",
        "Leave one of them out.",
    ),
    ExitCode(
        604,
        "COMMON_PATH_INVALID",
        "A file cannot be read.",
        "Name another one, or mend its permissions.",
    ),
    ExitCode(
        605,
        "COMMON_TLS_SERVER_CERTIFICATES_INVALID",
        "TLS cannot be served with these certificates.",
        "Give a certificate, its key, and the CA that signed it, as PEM files.",
    ),
    ExitCode(
        606,
        "RUNTIME_VERSION_INCOMPATIBLE",
        "Both sides speak different versions of the protocol.",
        "Use versions on both sides that work together.",
    ),
    ExitCode(607, "COMMON_APP_IMPORT_ERROR", "An app cannot be loaded.", _FIT_APP),
    _never(
        608, "COMMON_RUNTIME_DEPENDENCY_INSTALLATION_ERROR", "Nothing is ever installed for apps."
    ),
    _never(700, "SIMULATION_EXCEPTION", "A simulation failed; here 201 says so."),
    _never(701, "SIMULATION_MISSING_EXTRA", "Simulations need no extra here."),
    _never(800, "TASK_PROC_EXCEPTION", "An app process failed; here 201 says so."),
)
CODES = {code.number: code for code in _LIST}


def exit_block(number: int, message: str = "") -> int:
    """Print why a process ends; return the status to end with.

    Parameters
    ----------
    number : int
        A documented one: a key of `CODES`.
    message : str, optional
        What happened here.
    """
    code = CODES[number]
    said = [f"Exit Code: {number}", message, code.meaning, code.advice]
    log(ERROR if code.status else INFO, "%s", "\n".join(filter(None, said)))
    return code.status


def page_table() -> str:
    """Return the numbers as the table of the page in the documentation."""
    rows = ["| number | name | process status | meaning | what to do |", "|---|---|---|---|---|"]
    for code in _LIST:
        advice = code.advice if code.printed else "(never printed here)"
        rows.append(f"| {code.number} | {code.name} | {code.status} | {code.meaning} | {advice} |")
    return "\n".join(rows)
