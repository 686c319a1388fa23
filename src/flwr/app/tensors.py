"""PyTorch tensors to ndarrays and back. PyTorch is imported only when a tensor is asked for."""

import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from flwr.app.dtypes import dtype_of, is_extension, name_of
from flwr.app.npy import NDArray

if TYPE_CHECKING:
    import torch

_UNSIGNED = {1: "uint8", 2: "uint16"}  # what stands in for a type that numpy lacks, by item size


def is_tensor(value: object) -> "TypeGuard[torch.Tensor]":
    """Whether a value is a tensor; without PyTorch loaded nothing is."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def to_ndarray(tensor: "torch.Tensor") -> NDArray:
    """Return the values of a tensor, sharing its memory if that is the CPU's.

    Raises
    ------
    TypeError
        numpy has no such array (sparse or quantised tensors).
    """
    name = _extension_name(tensor.dtype)
    if name is None:
        array: NDArray = tensor.numpy(force=True)  # detached, from any device
        return array
    return _reinterpreted(tensor).numpy(force=True).view(dtype_of(name))


@lru_cache
def _extension_name(dtype: "torch.dtype") -> str | None:
    """Return the name of a dtype that numpy lacks and ml_dtypes has."""
    name = str(dtype).removeprefix("torch.")
    return name if name == "bfloat16" or name.startswith("float8_") else None


def outline(tensor: "torch.Tensor") -> NDArray:
    """Return an array of a tensor's dtype and shape that has no memory to speak of."""
    values = to_ndarray(tensor.detach().new_empty(()))
    return np.broadcast_to(values, tuple(tensor.shape))


def _reinterpreted(tensor: "torch.Tensor") -> "torch.Tensor":
    import torch

    return tensor.view(getattr(torch, _UNSIGNED[tensor.element_size()]))


def to_tensor(array: NDArray) -> "torch.Tensor":
    """Return a tensor that shares the memory of an array, unless its byte order is foreign.

    Raises
    ------
    RuntimeError
        PyTorch is not installed.
    TypeError
        PyTorch has no such tensor (text, dates, structures).
    """
    try:
        import torch
    except ImportError as error:
        raise RuntimeError(
            "PyTorch is required to use `to_torch_state_dict`, and it is not installed."
        ) from error
    if is_extension(array.dtype):
        name = name_of(array.dtype)
        kind: Any = getattr(torch, name, None)
        if kind is None:
            raise TypeError(f"PyTorch has no dtype {name}.")
        return torch.from_numpy(array.view(_UNSIGNED[array.itemsize])).view(kind)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    return torch.from_numpy(array)
