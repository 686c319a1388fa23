"""How servers and app processes say why they end: a documented number, what happened, what to do.

The number is printed, as supervisors' logs and users' searches expect it; the process itself ends
with status 0 for numbers below 100 and with 1 otherwise.
"""

from logging import ERROR, INFO

from flwr.log import log

SIGINT, SIGTERM = 1, 3  # ended by a signal, cleanly
SUPERLINK_INVALID_ARGS = 104
SUPERLINK_DATABASE_SCHEMA_MISMATCH = 105
CLIENTAPP_COMMUNICATION_ERROR = 250
SUPERNODE_CONNECTION_ERROR = 305
ADDRESS_INVALID = 600
ROOT_CERTIFICATES_INCOMPATIBLE = 603
SERVER_CERTIFICATES_INVALID = 605
VERSION_INCOMPATIBLE = 606

_MEANINGS = {
    SIGINT: "Ended by Ctrl-C (SIGINT).",
    SIGTERM: "Ended by SIGTERM.",
    SUPERLINK_INVALID_ARGS: "The SuperLink cannot do what these options ask for; see --help.",
    SUPERLINK_DATABASE_SCHEMA_MISMATCH: "The database is not one that this version can use.",
    CLIENTAPP_COMMUNICATION_ERROR: "The process that runs ClientApps lost its SuperNode.",
    SUPERNODE_CONNECTION_ERROR: "The SuperNode never reached its SuperLink.",
    ADDRESS_INVALID: "An address cannot be read.",
    ROOT_CERTIFICATES_INCOMPATIBLE: "--insecure and --root-certificates exclude each other.",
    SERVER_CERTIFICATES_INVALID: "TLS cannot be served with these certificates.",
    VERSION_INCOMPATIBLE: "Use versions on both sides that work together.",
}


def exit_block(code: int, message: str = "") -> int:
    """Print why a process ends; return the status to end with.

    Parameters
    ----------
    code : int
        A documented number.
    message : str, optional
        What happened here.
    """
    text = f"Exit Code: {code}\n{message}\n{_MEANINGS.get(code, '')}".rstrip().replace("\n\n", "\n")
    log(ERROR if code >= 100 else INFO, "%s", text)
    return 0 if code < 100 else 1
