"""What a call is: a request and an answer, a path, and who may make it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")

PROTOCOL_VERSION = 1  # sent with every call; another one is refused


class Access(StrEnum):
    """Who may make a call. A call without a rule cannot be written down."""

    OPEN = "open"  # whoever reaches the port
    NODE = "node"  # a node, by its secret
    APP = "app"  # the app process of one attempt of one run, by its token
    CLIENT = "client"  # a host of ClientApps, at its SuperNode


@dataclass(frozen=True)
class Call(Generic[Q, A]):
    """One call of a protocol. All calls are idempotent: whoever got no answer asks again.

    Attributes
    ----------
    protocol, name : str
        Make the path ``/v1/<protocol>/<name>``.
    request, answer : type
        msgspec structs: new fields have defaults, unknown ones are ignored.
    access : Access
        Who may make it.
    summary : str
        One line for the API's description.
    """

    protocol: str
    name: str
    request: type[Q]
    answer: type[A]
    access: Access
    summary: str

    @property
    def path(self) -> str:
        """Where it is posted."""
        return f"/v1/{self.protocol}/{self.name}"


@dataclass(frozen=True)
class Caller:
    """Who made a call, as authentication found out."""

    access: Access
    node_id: int = 0
    run_id: int = 0
    attempt: int = 0
    address: str = ""  # where the call came from, for the log
    token_hash: str = ""  # of the token it came with: HELLO is open, but knows nodes by it


@dataclass(frozen=True)
class Protocol:
    """What people call a protocol, who speaks it, and at which port by default."""

    name: str
    speakers: str
    port: int


PROTOCOLS = {
    "app": Protocol("ServerAppIo API", "app processes", 9091),
    "fleet": Protocol("Fleet API", "SuperNodes", 9092),
    "control": Protocol("Control API", "flwr commands", 9093),
    "client": Protocol("ClientAppIo API", "the processes that run ClientApps", 9094),
}


class Failure(StrEnum):
    """Why a link was not made: the code of a :class:`~flwr.errors.LinkError`, never changed."""

    ADDRESS = "address"  # it cannot be read
    UNKNOWN_HOST = "unknown-host"  # no such name
    CONNECTION_REFUSED = "connection-refused"  # nobody listens at that port
    TIMED_OUT = "timed-out"  # no answer, as behind a firewall
    UNREACHABLE = "unreachable"  # no way there, or it breaks
    TLS_REQUIRED = "tls-required"  # TLS there, not here
    TLS_NOT_SERVED = "tls-not-served"  # TLS here, not there
    TLS_UNKNOWN_CA = "tls-unknown-ca"
    TLS_WRONG_NAME = "tls-wrong-name"
    TLS_EXPIRED = "tls-expired"
    TLS_NOT_YET_VALID = "tls-not-yet-valid"
    TLS = "tls"  # any other disagreement
    FOREIGN_SERVER = "foreign-server"  # no server of this software


class Refusal(StrEnum):
    """Why a call was refused: the code of a :class:`~flwr.errors.RefusedError`."""

    BAD_REQUEST = "bad-request"  # not what the call takes
    NOT_ALLOWED = "not-allowed"  # no token, a wrong one, or no right to that
    VERSION = "version"  # another version of the protocol
    UNKNOWN_CALL = "unknown-call"  # not served at this port
    WRONG_PORT = "wrong-port"  # the port of another protocol
    UNKNOWN_RUN = "unknown-run"
    UNKNOWN_NODE = "unknown-node"
    UNKNOWN_OBJECT = "unknown-object"  # or one that the caller may not know of
    SUPERSEDED = "superseded"  # by a newer process of the same node or run: this one must end
    RUN_ENDED = "run-ended"
    RUN_STATE = "run-state"  # that cannot happen to a run in its state
    BAD_APP = "bad-app"  # a FAB that is no app, or a configuration that does not fit it
    WRONG_HASH = "wrong-hash"  # what came is not what was announced
    TOO_LARGE = "too-large"
    DISK_FULL = "disk-full"
    UNAVAILABLE = "unavailable"  # for a moment: ask again
    INTERNAL = "internal"  # an error of the server: its log says which
