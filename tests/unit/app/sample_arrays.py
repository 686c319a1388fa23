"""Arrays of every kind that a record takes."""

import ml_dtypes
import numpy as np

rng = np.random.default_rng(7)

ARRAYS = {
    "0-d": np.array(3.5),
    "0-d int64": np.array(7, np.int64),
    "zero-size": np.zeros((0, 3)),
    "zero-size last": np.zeros((3, 0), np.int8),
    "float32": rng.random((3, 4)).astype(np.float32),
    "float16": np.array([1.5, -2.0], np.float16),
    "longdouble": np.array([1.5], np.longdouble),
    "complex128": np.array([1 + 2j, -3j]),
    "bool": np.array([True, False, True]),
    "uint8": np.arange(5, dtype=np.uint8),
    "int64": np.array([2**62, -1]),
    "big-endian": np.array([1.5, 2.5], ">f4"),
    "big-endian int": np.arange(6, dtype=">i2").reshape(2, 3),
    "fortran": np.asfortranarray(rng.random((3, 4))),
    "fortran big-endian": np.asfortranarray(rng.random((3, 4)).astype(">f8")),
    "strided": rng.random((6, 6))[::2, 1::2],
    "reversed": np.arange(5.0)[::-1],
    "permuted axes": rng.random((2, 3, 4)).transpose(1, 0, 2),
    "broadcast": np.broadcast_to(np.float32(1.5), (2, 3)),
    "text": np.array(["ab", "c"]),
    "empty text": np.zeros(2, "U0"),
    "bytes": np.array([b"x", b"yz"]),
    "void": np.array([b"abc", b"def"], "V3"),
    "datetime": np.array(["2026-01-31"], "datetime64[s]"),
    "timedelta": np.array([5], "timedelta64[ms]"),
    "structured": np.array([(1, 2.5), (3, 4.5)], [("a", "<i4"), ("b", ">f8")]),
    "structured aligned": np.array([(1, 2.5)], np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    "record array": np.array([(1, 2.5)], [("a", "<i4"), ("b", "<f8")]).view(np.recarray),
    "bfloat16": np.array([1.0, 3.14], ml_dtypes.bfloat16),
    "bfloat16 fortran": np.asfortranarray(rng.random((2, 3)).astype(ml_dtypes.bfloat16)),
    "float8_e4m3fn": np.array([1.0, 448.0], ml_dtypes.float8_e4m3fn),
    "float8_e5m2 0-d": np.array(2.0, ml_dtypes.float8_e5m2),
}


def assert_same(got: np.ndarray, expected: np.ndarray) -> None:
    """Assert that two arrays have the same dtype, shape and bits (between fields: whatever)."""
    assert type(got) is np.ndarray
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    if got.dtype.names:
        assert got.tolist() == expected.tolist()
    else:
        assert got.tobytes() == np.asarray(expected).tobytes()
