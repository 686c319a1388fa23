"""What the mods of differential privacy share: a node's update, checked and made anew."""

from collections.abc import Iterator, Sequence
from logging import ERROR, WARNING
from typing import NoReturn, TypeVar

import numpy as np

from flwr.app import ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict, memory
from flwr.app.error import ErrorCode
from flwr.app.layout import Layout
from flwr.log import log
from flwr.privacy.clipping import (
    apply_change,
    blocks,
    clipping_scale,
    is_floating,
    same_kind,
    scaled_change,
    update_norm,
)
from flwr.privacy.noise import GaussianNoise

KEY_CLIPPING_NORM = "clipping_norm"

Record = TypeVar("Record", ArrayRecord, ConfigRecord, MetricRecord)


class PreconditionUnmet(Exception):  # noqa: N818 - it never leaves a mod
    """A message is not what a mod can work on."""


def is_training(message: Message) -> bool:
    """Whether a message is of type ``train`` or ``train.<action>``."""
    return message.metadata.message_type.partition(".")[0] == "train"


def refusal(message: Message, unmet: PreconditionUnmet) -> Message:
    """Log why a mod cannot work and return the error reply that says so."""
    log(ERROR, "%s", unmet)
    return Message(Error(ErrorCode.MOD_FAILED_PRECONDITION, str(unmet)), reply_to=message)


def only_record(mod: str, kind: type[Record], content: RecordDict) -> tuple[str, Record]:
    """Return the one record of a kind, with its name.

    Raises
    ------
    PreconditionUnmet
        If there are more or none.
    """
    found = [(name, record) for name, record in content.items() if isinstance(record, kind)]
    if len(found) != 1:
        raise PreconditionUnmet(
            f"{mod} expects exactly one {kind.__name__}, but found {len(found)} {kind.__name__}(s)."
        )
    return found[0]


def sent_arrays(mod: str, content: RecordDict) -> ArrayRecord:
    """Return the model that a node was sent, whatever is done to the message afterwards.

    Raises
    ------
    PreconditionUnmet
        If there is not exactly one.
    """
    return only_record(mod, ArrayRecord, content)[1].copy()


def sent_bound(mod: str, wrapper: str, content: RecordDict) -> float:
    """Return the clipping bound that the server sent.

    Raises
    ------
    PreconditionUnmet
        If there is none, or it is no number above 0.
    """
    _, config = only_record(mod, ConfigRecord, content)
    if KEY_CLIPPING_NORM not in config:
        raise PreconditionUnmet(
            f"{mod} requires the key '{KEY_CLIPPING_NORM}' to be present in the ConfigRecord, but "
            f"it was not found. Please ensure the `{wrapper}` wrapper is used in the ServerApp."
        )
    bound = config[KEY_CLIPPING_NORM]
    if isinstance(bound, bool) or not isinstance(bound, int | float) or not bound > 0:
        raise PreconditionUnmet(
            f"{mod} requires '{KEY_CLIPPING_NORM}' to be a number above 0, but it is {bound!r}."
        )
    return float(bound)


def clip_reply(
    mod: str, sent: ArrayRecord, reply: Message, bound: float, noise: GaussianNoise | None = None
) -> float:
    """Give a reply clipped arrays: ``sent + min(1, bound / norm) * update + noise``.

    The norm is over all floating-point arrays together. Other arrays (counters, flags) go back as
    they were sent. An update that is not finite counts as none.

    Parameters
    ----------
    mod : str
        The name that is logged.
    sent : ArrayRecord
        The model that the node was sent.
    reply : Message
        Its content is replaced, not changed.
    bound : float
        The most that the norm may be.
    noise : GaussianNoise, optional
        Added to every floating-point value.

    Returns
    -------
    float
        The norm before clipping.

    Raises
    ------
    PreconditionUnmet
        If the reply does not hold one ArrayRecord with the names, shapes and kinds of the sent one.
    """
    name, arrays = only_record(mod, ArrayRecord, reply.content)
    clipped, norm = clip_arrays(mod, sent, arrays, bound, noise)
    reply.content = RecordDict({**reply.content, name: clipped})
    return norm


def clip_arrays(
    mod: str, sent: ArrayRecord, arrays: ArrayRecord, bound: float, noise: GaussianNoise | None
) -> tuple[ArrayRecord, float]:
    """Return ``sent + min(1, bound / norm) * update + noise``, and the norm before clipping.

    Parameters and errors are those of `clip_reply`. What need not change is not copied.
    """
    new = _decoded(mod, arrays)
    old = _matched(mod, sent, arrays, new)
    floating = [i for i, array in enumerate(new) if is_floating(array.dtype)]
    norm = update_norm([(new[i], old[i]) for i in floating])
    scale = clipping_scale(norm, bound)
    if scale == 0.0:
        log(WARNING, "%s: the update holds values that are not finite; none is sent", mod)
    if scale == 1.0 and noise is None and len(floating) == len(new):
        return arrays, norm
    layout = Layout.of(list(arrays), new)
    buffer = memory.allocate(layout.nbytes)
    layout.fill_each(buffer, _clipped(new, old, scale, noise))
    return memory.adopt(layout, buffer), norm


def _clipped(
    new: Sequence[np.ndarray], old: Sequence[np.ndarray], scale: float, noise: GaussianNoise | None
) -> Iterator[np.ndarray]:
    for new_array, old_array in zip(new, old, strict=True):
        if not is_floating(new_array.dtype):
            yield old_array
            continue
        clipped = np.empty(new_array.shape, new_array.dtype)
        for target, new_block, old_block in blocks(clipped, new_array, old_array):
            change = scaled_change(new_block, old_block, scale)
            if noise is not None:
                noise.add_to(change)
            apply_change(target, old_block, change)
        yield clipped


def _matched(
    mod: str, sent: ArrayRecord, arrays: ArrayRecord, new: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Return the sent arrays in the order of the reply's."""
    by_name = dict(zip(sent, _decoded(mod, sent), strict=True))
    if by_name.keys() != set(arrays):
        raise PreconditionUnmet(
            f"{mod} expects the keys in the ArrayRecord of the reply message to match those from "
            "the ArrayRecord that the ClientApp received, but they do not."
        )
    old = [by_name[name] for name in arrays]
    for name, a, b in zip(arrays, new, old, strict=True):
        if a.shape != b.shape or not same_kind(a.dtype, b.dtype):
            _refuse_array(mod, name, a, b)
    return old


def _refuse_array(mod: str, name: str, new: np.ndarray, old: np.ndarray) -> NoReturn:
    raise PreconditionUnmet(
        f"{mod} expects array '{name}' to come back as it was sent, {old.dtype} of shape "
        f"{old.shape}, but it is {new.dtype} of shape {new.shape}."
    )


def _decoded(mod: str, arrays: ArrayRecord) -> list[np.ndarray]:
    try:
        return memory.views(arrays)
    except (TypeError, ValueError) as error:
        raise PreconditionUnmet(f"{mod} cannot read the arrays as numbers: {error}") from error
