"""What the legacy mods of differential privacy share: the update in a training's result."""

from flwr.app import ArrayRecord, Message, RecordDict
from flwr.clientapp.mod.trained_update import KEY_CLIPPING_NORM, PreconditionUnmet, clip_arrays
from flwr.compat.bridge import numbered
from flwr.compat.typing import EMPTY_TENSOR_KEY, Code
from flwr.privacy.noise import GaussianNoise

_RESULT = "fitres.parameters"


def sent_arrays(message: Message) -> ArrayRecord:
    """Return the model that a client was sent, whatever is done to the message afterwards."""
    return numbered(message.content.array_records["fitins.parameters"])


def sent_bound(mod: str, wrapper: str, message: Message) -> float:
    """Return the clipping bound that the server sent.

    Raises
    ------
    KeyError
        If there is none.
    ValueError
        If it is no number above 0.
    """
    config = message.content.config_records["fitins.config"]
    if KEY_CLIPPING_NORM not in config:
        raise KeyError(
            f"{mod}: The {KEY_CLIPPING_NORM} value is not supplied by the {wrapper} wrapper at the "
            "server side."
        )
    bound = config[KEY_CLIPPING_NORM]
    if isinstance(bound, bool) or not isinstance(bound, int | float) or not bound > 0:
        raise ValueError(
            f"{mod}: {KEY_CLIPPING_NORM} should be a float value above 0, but it is {bound!r}."
        )
    return float(bound)


def clip_result(
    mod: str, sent: ArrayRecord, reply: Message, bound: float, noise: GaussianNoise | None = None
) -> float | None:
    """Give a training's result clipped arrays: ``sent + min(1, bound / norm) * update + noise``.

    The arrays are matched by their places. Of these, those that hold no floats go back as they
    were sent. An update that is not finite counts as none.

    Parameters
    ----------
    mod : str
        The name that is logged.
    sent : ArrayRecord
        The model that the client was sent.
    reply : Message
        Its content is replaced, not changed.
    bound : float
        The most that the norm may be, over all floating-point arrays together.
    noise : GaussianNoise, optional
        Added to every floating-point value.

    Returns
    -------
    float or None
        The norm before clipping; None if the reply holds no update: it is an error, or the client
        does not train.

    Raises
    ------
    ValueError
        If the arrays are not as many, or not of the shapes and kinds, as those that were sent.
    """
    if reply.has_error():
        return None
    content = reply.content
    arrays = content.array_records[_RESULT]
    failed = content.config_records["fitres.status"]["code"] != Code.OK.value
    if failed or not arrays or list(arrays) == [EMPTY_TENSOR_KEY]:
        return None
    try:
        clipped, norm = clip_arrays(mod, sent, numbered(arrays), bound, noise)
    except PreconditionUnmet as unmet:
        raise ValueError(str(unmet)) from unmet
    reply.content = RecordDict({**content, _RESULT: clipped})
    return norm
