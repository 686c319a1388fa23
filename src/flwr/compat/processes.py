"""What the framework's own processes tell each other, as legacy code imports it."""

from dataclasses import dataclass
from enum import Enum


@dataclass
class Fab:
    """An app bundle."""

    hash_str: str
    content: bytes


class ClientAppOutputCode(Enum):
    """How a ClientApp ended."""

    SUCCESS = 0
    DEADLINE_EXCEEDED = 1
    UNKNOWN_ERROR = 2


@dataclass
class ClientAppOutputStatus:
    """How a ClientApp ended, and a word on it."""

    code: ClientAppOutputCode
    message: str


@dataclass
class UserInfo:
    """A user who is logged in."""

    user_id: str | None
    user_name: str | None


@dataclass
class UserAuthLoginDetails:
    """What a user needs for logging in."""

    auth_type: str
    device_code: str
    verification_uri_complete: str
    expires_in: int
    interval: int


@dataclass
class UserAuthCredentials:
    """What a user has when logged in."""

    access_token: str
    refresh_token: str


@dataclass
class Actor:
    """Who did something."""

    actor_id: str | None
    description: str | None
    ip_address: str


@dataclass
class Event:
    """What was done."""

    action: str
    run_id: int | None
    fab_hash: str | None


@dataclass
class LogEntry:
    """A line of an audit log."""

    timestamp: str
    actor: Actor
    event: Event
    status: str


class RunNotRunningException(BaseException):
    """Something was asked for a run that is not running."""


class InvalidRunStatusException(BaseException):
    """Something was asked for a run whose status does not allow it."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message
