"""XGBoost's binary models, which are UBJSON, as the JSON that they stand for.

XGBoost itself could convert them, but its reader crashes on damaged ones: a single node could end
the server. Here every length is checked against what there is.
"""

import msgspec
import numpy as np

_NUMBERS = {
    b"i": ">i1", b"U": ">u1", b"I": ">i2", b"l": ">i4", b"L": ">i8", b"d": ">f4", b"D": ">f8",
}  # fmt: skip
_WORDS = {b"T": "true", b"F": "false", b"Z": "null"}
_DEEPEST = 32  # models have about 8 levels


def is_ubjson(data: bytes) -> bool:
    """Whether bytes are what ``Booster.save_raw("ubj")`` gives: JSON does not begin so."""
    return data[:2] == b"{L"


def as_json(data: bytes) -> bytes:
    """Return the JSON text of a model in UBJSON.

    Numbers are written with as many digits as tell them apart, so they are read as the same ones.

    Raises
    ------
    ValueError
        If it is damaged, or holds what XGBoost does not write.
    """
    reader = _Reader(data)
    text = reader.value(reader.take(1), 0)
    if reader.at != len(data):
        raise ValueError(f"{len(data) - reader.at} bytes follow its end")
    return text.encode()


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        if not 0 <= count <= len(self.data) - self.at:
            raise ValueError(f"byte {self.at} is followed by less than it says")
        self.at += count
        return self.data[self.at - count : self.at]

    def value(self, kind: bytes, depth: int) -> str:
        """Return a value as JSON, its kind having been read."""
        if depth > _DEEPEST:
            raise ValueError("it is nested too deep")
        if kind == b"{":
            return self._object(depth)
        if kind == b"[":
            return self._array(depth)
        if kind == b"S":
            return self._text()
        if kind in _NUMBERS:
            return self._numbers(kind, 1)
        if kind in _WORDS:
            return _WORDS[kind]
        raise ValueError(f"byte {self.at - 1} begins no value")

    def _object(self, depth: int) -> str:
        members = []
        while self.data[self.at : self.at + 1] != b"}":
            name = self._text()
            members.append(f"{name}:{self.value(self.take(1), depth + 1)}")
        self.take(1)
        return "{" + ",".join(members) + "}"

    def _array(self, depth: int) -> str:
        mark = self.data[self.at : self.at + 1]
        if mark == b"$":  # numbers of one kind
            kind = self.data[self.at + 1 : self.at + 2]
            self.take(2)
            return f"[{self._numbers(kind, self._count())}]"
        if mark == b"#":
            items = [self.value(self.take(1), depth + 1) for _ in range(self._count())]
        else:
            items = []
            while (kind := self.take(1)) != b"]":
                items.append(self.value(kind, depth + 1))
        return f"[{','.join(items)}]"

    def _count(self) -> int:
        if self.take(1) != b"#":
            raise ValueError(f"byte {self.at - 1} should say that a count follows")
        return self._length()

    def _length(self) -> int:
        kind = self.take(1)
        if kind not in _NUMBERS or kind in b"dD":
            raise ValueError(f"byte {self.at - 1} should begin a length")
        return int(self._numbers(kind, 1))

    def _text(self) -> str:
        return msgspec.json.encode(self.take(self._length()).decode()).decode()

    def _numbers(self, kind: bytes, count: int) -> str:
        if kind not in _NUMBERS:
            raise ValueError(f"byte {self.at} begins an array of other than numbers")
        dtype = np.dtype(_NUMBERS[kind])
        values = np.frombuffer(self.take(count * dtype.itemsize), dtype)
        return ",".join(map(str, values))
