"""The .npy format, as ``numpy.save(..., allow_pickle=False)`` writes it, without its copies."""

import io
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np
from numpy.lib import format as npy_format

from flwr.app.dtypes import stored_as

NDArray: TypeAlias = np.ndarray[Any, Any]
Bytes: TypeAlias = "bytes | memoryview"

_BYTE = np.dtype(np.uint8)


def is_fortran(array: NDArray) -> bool:
    """Whether an array lies in memory column by column, and only so."""
    flags = array.flags
    return flags.f_contiguous and not flags.c_contiguous


def flat_bytes(array: NDArray) -> NDArray:
    """View a contiguous array (C or Fortran) as uint8, in the order of its memory."""
    if not array.itemsize:
        return np.empty(0, _BYTE)
    return (array.T if is_fortran(array) else array).reshape(-1).view(_BYTE)


def encode(array: NDArray) -> bytes:
    """Return the file for a contiguous array; ml_dtypes' values go as unsigned integers."""
    return b"".join((header(array.dtype, array.shape, is_fortran(array)), flat_bytes(array).data))


@lru_cache(maxsize=1024)
def header(dtype: np.dtype[Any], shape: tuple[int, ...], fortran: bool) -> bytes:
    """Return what stands in front of the values: the magic, the version and the description."""
    fields = {
        "shape": shape,
        "fortran_order": fortran,
        "descr": npy_format.dtype_to_descr(stored_as(dtype)),
    }
    file = io.BytesIO()
    try:
        npy_format.write_array_header_1_0(file, fields)
    except UnicodeEncodeError:  # names of fields beyond Latin-1 need version 3
        array = np.zeros(shape, dtype, "F" if fortran else "C")
        np.save(file, array, allow_pickle=False)
        return file.getvalue()[: -array.nbytes or None]
    except ValueError:  # a description too long for version 1
        file = io.BytesIO()
        npy_format.write_array_header_2_0(file, fields)
    return file.getvalue()


def decode(data: Bytes) -> NDArray:
    """Return a read-only array over the bytes of a file, without copying them.

    Raises
    ------
    ValueError
        The bytes are no .npy file, are cut short, or hold Python objects.
    """
    data = memoryview(data).toreadonly()
    if bytes(data[:8]) == b"\x93NUMPY\x03\x00":  # field names in UTF-8: rare, numpy copies them
        array: NDArray = np.load(io.BytesIO(data), allow_pickle=False)
        array.setflags(write=False)
        return array
    begin = _header_end(data)
    shape, fortran, dtype = _parse(bytes(data[:begin]))
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded when allow_pickle=False.")
    count = 1
    for size in shape:
        count *= size
    if count * dtype.itemsize > len(data) - begin:
        raise ValueError(
            f"The .npy data of an array is cut short: {count * dtype.itemsize} bytes of values are "
            f"announced, {len(data) - begin} are there."
        )
    return np.ndarray(shape, dtype, data, begin, None, "F" if fortran else "C")


def _header_end(data: memoryview) -> int:
    """Return where the values begin."""
    if bytes(data[:6]) != b"\x93NUMPY" or len(data) < 12:
        raise ValueError("The data of an array is no .npy file.")
    version = data[6]
    if version == 1:
        return 10 + int.from_bytes(data[8:10], "little")
    return 12 + int.from_bytes(data[8:12], "little")


@lru_cache(maxsize=1024)
def _parse(head: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    file = io.BytesIO(head)
    try:
        if npy_format.read_magic(file) == (1, 0):
            return npy_format.read_array_header_1_0(file)
        return npy_format.read_array_header_2_0(file)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError("The header of an array's .npy data is malformed.") from error
