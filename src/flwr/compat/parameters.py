"""Arrays as serialised parameters, and back."""

from io import BytesIO
from typing import cast

import numpy as np

from flwr.app import Array, ArrayRecord, memory
from flwr.app.layout import NUMPY_STYPE
from flwr.compat.typing import NDArray, NDArrays, Parameters, held_record, lazy_parameters
from flwr.log import warn_deprecated_feature


def ndarrays_to_parameters(ndarrays: NDArrays) -> Parameters:
    """Return a snapshot of arrays as parameters.

    Parameters
    ----------
    ndarrays : list of numpy.ndarray
        Whatever ``numpy.save`` takes: lists and numbers become arrays.

    Raises
    ------
    ValueError
        If an array holds Python objects.
    """
    arrays = []
    for place, array in enumerate(ndarrays):
        try:
            arrays.append(np.asarray(array))
        except (TypeError, ValueError, RuntimeError) as error:  # the last is PyTorch's
            error.add_note(f"This is array {place} of {len(ndarrays)}.")
            raise
    return lazy_parameters(ArrayRecord(arrays), NUMPY_STYPE)


def parameters_to_ndarrays(parameters: Parameters) -> NDArrays:
    """Return the arrays of parameters: new ones, that may be written to.

    Raises
    ------
    ValueError
        If the bytes are no array in the .npy format, or hold Python objects.
    """
    record = held_record(parameters)
    if record is not None and parameters.tensor_type == NUMPY_STYPE:
        return record.to_numpy_ndarrays()
    return [bytes_to_ndarray(tensor) for tensor in parameters.tensors]


def parameters_views(parameters: Parameters) -> NDArrays:
    """Return the arrays of parameters without copying where that can be; only for reading."""
    record = held_record(parameters)
    if record is not None and parameters.tensor_type == NUMPY_STYPE:
        return memory.views(record)
    return [bytes_to_ndarray(tensor) for tensor in parameters.tensors]


def ndarray_to_bytes(ndarray: NDArray) -> bytes:
    """Serialise an array in the .npy format.

    Raises
    ------
    ValueError
        If it holds Python objects.
    """
    into = BytesIO()
    np.save(into, ndarray, allow_pickle=False)
    return into.getvalue()


def bytes_to_ndarray(tensor: bytes) -> NDArray:
    """Read an array in the .npy format.

    Raises
    ------
    ValueError
        If the bytes are none, or hold Python objects.
    """
    return cast("NDArray", np.load(BytesIO(tensor), allow_pickle=False))


def array_from_numpy(ndarray: NDArray) -> Array:
    """Return an `Array` of an ndarray. Deprecated: use ``Array(ndarray)``."""
    warn_deprecated_feature(
        "`array_from_numpy` is deprecated. Instead, use the `Array(ndarray)` class directly or "
        "`Array.from_numpy_ndarray(ndarray)`."
    )
    return Array(ndarray)
