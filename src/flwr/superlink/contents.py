"""Contents between calls and the store, which keeps them as bytes that it does not read."""

import re

import msgspec

from flwr.errors import RefusedError
from flwr.store.hubrecords import AnswerRow, CheckpointRow, NewBody, NewCheckpoint, NewReply
from flwr.transport import appio, fleet
from flwr.transport.call import Refusal
from flwr.transport.parts import OBJECT_ID_LENGTH, Body, Fault

_OBJECT_ID = re.compile(rf"[0-9a-f]{{{OBJECT_ID_LENGTH}}}")
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Body).decode


def kept(body: Body) -> NewBody:
    """Return a content as the store keeps it.

    Raises
    ------
    RefusedError
        If it refers to something that is no object.
    """
    objects = []
    for part in body.parts:
        if not part.object_id:
            continue
        if part.nbytes < 0 or part.data or not _OBJECT_ID.fullmatch(part.object_id):
            raise RefusedError(
                Refusal.BAD_REQUEST, f"{part.object_id[:80]!r} of {part.nbytes} bytes is no object."
            )
        objects.append((part.object_id, part.nbytes))
    return NewBody.of(_encode(body), objects)


def opened(content: bytes) -> Body:
    """Return a content as it travels."""
    return _decode(content)


def kept_reply(reply: fleet.Reply) -> NewReply:
    """Return a reply as the store takes it."""
    if (reply.body is None) == (reply.error is None):
        raise RefusedError(
            Refusal.BAD_REQUEST,
            f"The reply to message {reply.message_id} has to have either a content or an error.",
        )
    return NewReply(
        message_id=reply.message_id,
        run_id=reply.run_id,
        meta=reply.meta,
        body=None if reply.body is None else kept(reply.body),
        error_code=None if reply.error is None else reply.error.code,
        error_reason="" if reply.error is None else reply.error.reason,
        seconds=reply.seconds,
    )


def answer_of(row: AnswerRow) -> appio.Answer:
    """Return a reply as a ServerApp gets it."""
    failed = row.error_code is not None
    return appio.Answer(
        seq=row.seq,
        message_id=row.message_id,
        node_id=row.node_id,
        meta=row.meta,
        body=None if row.body is None else opened(row.body),
        error=Fault(row.error_code or 0, row.error_reason) if failed else None,
        seconds=row.seconds,
    )


def kept_checkpoint(checkpoint: appio.Checkpoint) -> NewCheckpoint:
    """Return a checkpoint as the store takes it."""
    return NewCheckpoint(
        scope=checkpoint.scope,
        step=checkpoint.step,
        state=kept(checkpoint.state),
        context=kept(checkpoint.context),
        release=checkpoint.release,
    )


def checkpoint_of(row: CheckpointRow) -> appio.Checkpoint:
    """Return a checkpoint as a ServerApp gets it."""
    return appio.Checkpoint(
        scope=row.scope,
        step=row.step,
        state=opened(row.state) if row.state else Body(),
        context=opened(row.context),
    )
