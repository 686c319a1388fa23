"""How other rooms reach the memory of records; apps never need this.

A `flwr.app.layout.Layout` says how the arrays of a record lie in one run of bytes, a `Backing`
gives the bytes. A record whose backing is not an ndarray never keeps what ``open()`` returned, so
the bytes may move behind it.

``adopt(layout, backing)``
    A record over bytes that are there already. No copy; an ndarray is made read-only.
``layout_of(record)``
    How its arrays lie, or would lie once packed. Interned: compare with ``is``.
``packed(record)``
    All its arrays as one read-only uint8 run, laid out by ``layout_of(record)``. No copy if it is
    packed; a record made of separate `Array` objects is packed once, with one copy, and stays so.
``is_packed(record)``
    Whether that costs nothing.
``backing_of(record)``
    What a packed record lies in, None for another: the same object for as long as nobody changes
    the record.
``rebase(record, backing)``
    Same bytes, other memory. Arrays that were handed out follow.
``views(record)``
    Its values as read-only ndarrays in record order, without `Array` objects; .npy data that came
    verbatim is decoded, without a copy where it can be.
``frames(record)``
    The bytes of each array as uint8, in record order, packed or not.
``allocate(nbytes)``, ``set_allocator(function)``
    Where records take memory from: numpy, unless a worker says otherwise.
``dtype_of(name)``
    The dtype of a canonical name, ml_dtypes' included.
"""

from flwr.app.arrayrecord import (
    adopt,
    backing_of,
    frames,
    is_packed,
    layout_of,
    packed,
    rebase,
    views,
)
from flwr.app.buffers import Backing, allocate, set_allocator
from flwr.app.dtypes import dtype_of

__all__ = [
    "Backing",
    "adopt",
    "allocate",
    "backing_of",
    "dtype_of",
    "frames",
    "is_packed",
    "layout_of",
    "packed",
    "rebase",
    "set_allocator",
    "views",
]
