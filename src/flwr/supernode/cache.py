"""Objects that a node has received: what comes again, such as frozen layers, travels once.

Of each run the objects of its last two messages are kept, as files. They are not flushed to disk,
so a restarted node begins without them.
"""

import os
import shutil
import threading
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from flwr.supernode.spool import check_object_id
from flwr.transport.parts import Body

_MESSAGES = 2  # of a run, whose objects are kept

Download = Callable[[str, memoryview], None]


class ObjectCache:
    """The folder of a node's received objects. Threads may share it.

    Parameters
    ----------
    folder : Path
        Emptied first.
    download : callable
        Fills memory with an object that is not here, and checks it.

    Attributes
    ----------
    folder : Path
        In which an object's file has its id for a name.
    """

    def __init__(self, folder: Path, download: Download) -> None:
        self.folder = folder
        self._download = download
        self._lock = threading.Lock()
        self._used: dict[int, deque[frozenset[str]]] = {}  # by run, of its last messages
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)

    def use(self, run_id: int, body: Body) -> None:
        """Note that a message needs these objects; those of older messages of the run go."""
        needed = frozenset(part.object_id for part in body.parts if part.object_id)
        with self._lock:
            used = self._used.setdefault(run_id, deque())
            used.append(needed)
            if len(used) > _MESSAGES:
                self._forget(used.popleft())

    def use_also(self, run_id: int, object_id: str) -> None:
        """Note that the last message of a run needs one more object."""
        with self._lock:
            used = self._used[run_id]
            used[-1] |= {object_id}

    def drop_run(self, run_id: int) -> None:
        """Let the objects of a run go."""
        with self._lock:
            for objects in self._used.pop(run_id, ()):
                self._forget(objects)

    def fetch(self, object_id: str, into: memoryview) -> None:
        """Fill memory with an object, from here or else from the hub."""
        check_object_id(object_id)
        if self._read(object_id, into):
            return
        self._download(object_id, into)
        self.put(object_id, into)

    def path(self, object_id: str, nbytes: int) -> Path:
        """Return the file of an object, downloading it first if it is not here."""
        path = self.folder / check_object_id(object_id)
        if not path.exists():
            self.fetch(object_id, np.empty(nbytes, np.uint8).data)
        return path

    def _read(self, object_id: str, into: memoryview) -> bool:
        try:
            with (self.folder / object_id).open("rb", buffering=0) as file:
                if os.fstat(file.fileno()).st_size != into.nbytes:
                    return False
                rest = into
                while rest:
                    count = file.readinto(rest)
                    if not count:
                        return False
                    rest = rest[count:]
        except FileNotFoundError:
            return False
        return True

    def put(self, object_id: str, data: memoryview) -> None:
        """Write an object that is not here yet; a full disk only means that it is not kept."""
        new = self.folder / f"{object_id}.{threading.get_ident()}"
        try:
            with new.open("wb", buffering=0) as file:
                rest = data
                while rest:
                    rest = rest[file.write(rest) :]
            with self._lock:
                if any(object_id in used for run in self._used.values() for used in run):
                    new.replace(self.folder / object_id)
        except OSError:
            pass
        new.unlink(missing_ok=True)

    def _forget(self, objects: Iterable[str]) -> None:
        needed = {key for run in self._used.values() for used in run for key in used}
        for object_id in objects:
            if object_id not in needed:
                (self.folder / object_id).unlink(missing_ok=True)
