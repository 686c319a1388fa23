"""The names of dtypes, as records carry them.

A dtype's name is numpy's own text for it (``float32``, ``>f4``, ``<U2``, ``[('a', '<i4')]``); the
types numpy lacks are named as in ml_dtypes (``bfloat16``, ``float8_e4m3fn``, ...). That library is
imported only when a name needs it.
"""

import ast
import re
from functools import lru_cache
from typing import Any

import numpy as np

# What ml_dtypes adds: numpy keeps such values in arrays but cannot write them to a .npy file.
_EXTENSION_NAME = re.compile(r"bfloat16|float[468]_\w+|u?int[124]")
_LONGEST_NAME = 65536  # characters; a structured dtype spells out its fields


def name_of(dtype: np.dtype[Any]) -> str:
    """Return the canonical name of a dtype.

    Raises
    ------
    ValueError
        The dtype holds Python objects, or numpy's text for it does not lead back to it.
    """
    name = _names.get(dtype)
    if name is None:
        if issubclass(dtype.type, np.record):
            dtype = np.dtype((np.void, dtype))  # the same fields, without attribute access
        name = str(dtype)
        _refuse_objects(dtype)
        if dtype_of(name) != dtype:
            raise ValueError(f"Arrays of dtype {name} cannot be sent.")
        if len(_names) < 1024:
            _names[dtype] = name
    return name


_names: dict[np.dtype[Any], str] = {}


@lru_cache(maxsize=1024)
def dtype_of(name: str) -> np.dtype[Any]:
    """Return the dtype of a canonical name.

    Raises
    ------
    ValueError
        No dtype has that name, or it holds Python objects.
    """
    try:
        dtype = _parse(name)
    except (TypeError, ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(f"There is no dtype named {name[:80]!r}.") from error
    _refuse_objects(dtype)
    if dtype.subdtype is not None:
        raise ValueError(f"A dtype with a shape is no dtype of an array: {name[:80]!r}.")
    return dtype


def _parse(name: str) -> np.dtype[Any]:
    if len(name) > _LONGEST_NAME:
        raise ValueError("the name is too long")
    if _EXTENSION_NAME.fullmatch(name):
        import ml_dtypes

        known: np.dtype[Any] = np.dtype(getattr(ml_dtypes, name, name))  # numpy refuses the rest
        return known
    if name.startswith(("[", "{")):
        fields: Any = ast.literal_eval(name)
        structured: np.dtype[Any] = np.dtype(fields)
        return structured
    if not name or "," in name:
        raise ValueError("numpy's short forms for structured dtypes are not used here")
    return np.dtype(name)


def _refuse_objects(dtype: np.dtype[Any]) -> None:
    if dtype.hasobject:
        raise ValueError(
            "Object arrays cannot be saved when allow_pickle=False. Give the array a numeric dtype "
            f"or text of a fixed length; its dtype is {str(dtype)[:80]}."
        )


def stored_as(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return what a .npy file holds for a dtype: itself, or for ml_dtypes' unsigned integers."""
    return np.dtype(f"<u{dtype.itemsize}") if is_extension(dtype) else dtype


def is_extension(dtype: np.dtype[Any]) -> bool:
    """Whether numpy itself does not know the dtype (bfloat16, float8, ...)."""
    return dtype.isbuiltin == 2


def restored(array: np.ndarray[Any, Any], name: str) -> np.ndarray[Any, Any]:
    """View what a .npy file held as the dtype it stands for.

    Parameters
    ----------
    array : ndarray
        As decoded.
    name : str
        The dtype that the `Array` names.

    Returns
    -------
    ndarray
        The same memory; the same object unless the name is one of ml_dtypes'.
    """
    if _EXTENSION_NAME.fullmatch(name) and array.dtype.kind == "u":
        dtype = dtype_of(name)
        if dtype.itemsize == array.dtype.itemsize:
            return array.view(dtype)
    return array
