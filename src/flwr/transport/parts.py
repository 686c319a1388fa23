"""What several calls carry: contents in parts, and errors."""

from typing import Annotated, Any

import msgspec

INLINE_BYTES = 64 * 1024  # parts below travel in the call, larger ones as objects
BODY_BYTES = 1 << 20  # the most that the inline parts of one body may come to
OBJECT_ID_LENGTH = 64  # hexadecimal digits of a BLAKE3 hash

# What a database takes. Without a bound, what comes as JSON may have any number of digits
Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Scalars = dict[str, bool | Int64 | float | str]
Seconds = Annotated[float, msgspec.Meta(ge=0)]  # NaN is refused with negative ones


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """Bytes that are here (``data``), or elsewhere: an object, by its id and length."""

    data: bytes = b""
    object_id: str = ""
    nbytes: Int64 = 0


class Body(msgspec.Struct, frozen=True, omit_defaults=True):
    """A content as ``wire.seal_content`` cuts it: its head, then its frames."""

    parts: list[Part] = []


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error instead of a content: a documented code, and a reason for people."""

    code: Int64
    reason: str = ""


class RunSheet(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a process must know of a run to take part in it."""

    run_id: Int64
    fab_id: str = ""
    fab_version: str = ""
    fab_hash: str = ""  # SHA-256 of the FAB, 64 hexadecimal digits
    run_config: Scalars = {}  # with the overrides
    override_config: Scalars = {}
    status: str = "running"  # pending, starting, running, finished
    sub_status: str = ""
    details: str = ""
    pending_at: str = ""
    starting_at: str = ""
    running_at: str = ""
    finished_at: str = ""


class RunQuestion(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which run."""

    run_id: Int64 = 0


class Fab(msgspec.Struct, frozen=True, omit_defaults=True):
    """An app bundle."""

    fab_hash: str
    content: bytes


class Denied(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a call was refused: what comes instead of its answer."""

    code: str  # one of call.Refusal
    message: str = ""
    hint: str = ""


class Nothing(msgspec.Struct, frozen=True):
    """No more than that it was done."""


Plain = dict[str, Any]
