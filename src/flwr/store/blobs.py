"""A folder of objects: each a file named by the BLAKE3 of its bytes, whole or not there.

Uploads grow in ``partial/``, one file per object and uploader, and go on after a break. All calls
block on the disk: an event loop makes them in a thread.
"""

import os
import re
import shutil
import threading
from collections.abc import Collection, Iterable
from pathlib import Path

from blake3 import blake3

from flwr.clock import unix_now
from flwr.errors import DiskFullError, ObjectNotFoundError, StoreError, WrongHashError
from flwr.store.faults import disk_fault

RESERVE_BYTES = 64 << 20  # left free on the disk, for the database
SYNC_BYTES = 8 << 20  # so much is received between two fdatasync
_PIECE_BYTES = 1 << 20
_OBJECT_NAME = re.compile("[0-9a-f]{64}")


class Upload:
    """An object on its way in. Made by :meth:`BlobDir.begin`; safe to use from any thread.

    Attributes
    ----------
    object_id, uploader : str
        Which object, and whose upload.
    size : int
        Bytes of the whole object.
    offset : int
        Bytes that are here.
    """

    def __init__(self, blobs: "BlobDir", object_id: str, uploader: str, size: int) -> None:
        self.object_id = object_id
        self.uploader = uploader
        self.size = size
        self.offset = 0
        self._blobs = blobs
        self._path = blobs.partial_path(object_id, uploader)
        self._hash = blake3()
        self._unsynced = 0
        self._lock = threading.Lock()
        self._file: int | None = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)

    @property
    def is_complete(self) -> bool:
        """Whether all bytes are here; they are not checked yet."""
        return self.offset == self.size

    def resume(self) -> None:
        """Take up what is here of it, hashing it again."""
        with self._lock:
            file = self._open_file()
            while piece := os.pread(file, _PIECE_BYTES, self.offset):
                self._hash.update(piece)
                self.offset += len(piece)
            if self.offset > self.size:
                raise WrongHashError(
                    f"Object {self.object_id} was to have {self.size} bytes, and more are here."
                )

    def write(self, piece: bytes | memoryview) -> None:
        """Add bytes behind those that are here.

        Raises
        ------
        DiskFullError
            If there is no room. What came before is kept.
        WrongHashError
            If more bytes come than were announced.
        StoreError
            If a newer upload of the same object by the same uploader took this one's place.
        """
        view = memoryview(piece).cast("B")
        with self._lock:
            file = self._open_file()
            if self.offset + len(view) > self.size:
                raise WrongHashError(
                    f"Object {self.object_id}: more than the announced {self.size} bytes came."
                )
            self._blobs.require_room(len(view))
            try:
                while view:
                    written = os.pwrite(file, view, self.offset)
                    self._hash.update(view[:written])
                    self.offset += written
                    self._unsynced += written
                    view = view[written:]
                if self._unsynced >= SYNC_BYTES:
                    os.fdatasync(file)  # the disk works while more comes
                    self._unsynced = 0
            except OSError as error:
                raise disk_fault(error, self._path) from error

    def verify(self) -> None:
        """Check all bytes and put them on disk.

        Raises
        ------
        WrongHashError
            If they are not those that the id names; they are removed.
        """
        with self._lock:
            file = self._open_file()
            if self._hash.hexdigest() != self.object_id:
                self._path.unlink(missing_ok=True)
                self._release()
                raise WrongHashError(
                    f"What was uploaded as object {self.object_id} is another one.",
                    hint="Upload it again.",
                )
            try:
                os.fsync(file)
            except OSError as error:
                raise disk_fault(error, self._path) from error

    def close(self) -> None:
        """Let go of the file. What came is kept, to go on from."""
        with self._lock:
            self._release()

    def _release(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
            self._blobs.forget_upload(self)

    def _open_file(self) -> int:
        if self._file is None:
            raise StoreError(f"The upload of object {self.object_id} is closed.")
        return self._file


class BlobDir:
    """Objects as files.

    Parameters
    ----------
    path : Path
        The folder; made if missing.
    reserve : int
        Bytes that uploads leave free on its disk.
    """

    def __init__(self, path: Path, *, reserve: int = RESERVE_BYTES) -> None:
        self.path = path
        self._partial = path / "partial"
        self._gone = path / "gone"
        self._reserve = reserve
        self._beginning = threading.Lock()  # taken before those of uploads
        self._lock = threading.Lock()  # taken after them
        self._uploads: dict[Path, Upload] = {}  # with the next two, under the lock
        self._arriving: dict[str, int] = {}  # between their rename and their row
        self._gone_count = 0
        try:
            for folder in (self._partial, self._gone):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_fault(error, path) from error
        self.empty_gone()

    # --- uploads -------------------------------------------------------------------------------

    def begin(self, object_id: str, uploader: str, size: int) -> Upload:
        """Begin an upload, or go on with one.

        It ends any other that goes on for the same object and uploader.

        Raises
        ------
        DiskFullError
            If the rest would not fit.
        """
        path = self.partial_path(object_id, uploader)
        self.require_room(size - self.partial_size(object_id, uploader))
        with self._beginning:
            older = self._uploads.get(path)
            if older is not None:
                older.close()
            try:
                upload = Upload(self, object_id, uploader, size)
            except OSError as error:
                raise disk_fault(error, path) from error
            with self._lock:
                self._uploads[path] = upload
        try:
            upload.resume()
        except BaseException:
            upload.close()
            path.unlink(missing_ok=True)
            raise
        return upload

    def partial_size(self, object_id: str, uploader: str) -> int:
        """Return how many bytes of an upload are here."""
        try:
            return self.partial_path(object_id, uploader).stat().st_size
        except FileNotFoundError:
            return 0

    def uploaders(self) -> set[str]:
        """Return whose unfinished uploads are here."""
        return {path.suffix[1:] for path in self._partial.iterdir()}

    def partial_path(self, object_id: str, uploader: str) -> Path:
        """Return where an upload grows."""
        return self._partial / f"{object_id}.{uploader}"

    def require_room(self, nbytes: int) -> None:
        """Raise a ``DiskFullError`` if so many bytes more would eat into the reserve."""
        free = shutil.disk_usage(self.path).free
        if nbytes > 0 and free - nbytes < self._reserve:
            raise DiskFullError(
                f"{self.path} has no room for {nbytes} bytes more: {free} are free, of which "
                f"{self._reserve} are kept for the database.",
                hint="Make room on that disk.",
            )

    def forget_upload(self, upload: Upload) -> None:
        """Note that an upload's file is closed."""
        path = self.partial_path(upload.object_id, upload.uploader)
        with self._lock:
            if self._uploads.get(path) is upload:
                del self._uploads[path]

    def place(self, upload: Upload) -> None:
        """Give a verified upload its name. Until :meth:`settled`, nothing removes it."""
        with self._lock:
            self._arriving[upload.object_id] = self._arriving.get(upload.object_id, 0) + 1
        try:
            partial = self.partial_path(upload.object_id, upload.uploader)
            partial.replace(self._of(upload.object_id))
            self._sync_folder()
        except OSError as error:
            self.settled(upload.object_id)
            raise disk_fault(error, self._of(upload.object_id)) from error
        finally:
            upload.close()

    def settled(self, object_id: str) -> None:
        """Note that a placed object has its row, or will never have one."""
        with self._lock:
            self._arriving[object_id] -= 1
            if not self._arriving[object_id]:
                del self._arriving[object_id]

    # --- objects -------------------------------------------------------------------------------

    def has(self, object_id: str) -> bool:
        """Return whether an object is here, whatever the database says."""
        return self._of(object_id).exists()

    def open(self, object_id: str) -> tuple[int, int]:
        """Return a file descriptor, which the caller closes, and the size in bytes.

        Raises
        ------
        ObjectNotFoundError
            If there is no such object.
        """
        try:
            file = os.open(self._of(object_id), os.O_RDONLY)
        except FileNotFoundError as error:
            raise ObjectNotFoundError(f"There is no object {object_id}.") from error
        return file, os.fstat(file).st_size

    def remove(self, object_ids: Iterable[str]) -> None:
        """Take objects away, at once for all who look: the bytes go with :meth:`empty_gone`."""
        with self._lock:
            for object_id in object_ids:
                if object_id in self._arriving:
                    continue
                self._gone_count += 1
                try:
                    self._of(object_id).rename(self._gone / f"{object_id}.{self._gone_count}")
                except FileNotFoundError:
                    continue

    def empty_gone(self) -> None:
        """Give back the room of removed objects."""
        for path in self._gone.iterdir():
            path.unlink(missing_ok=True)

    def ids(self) -> list[str]:
        """Return the ids of all whole objects."""
        return [path.name for path in self.path.iterdir() if _OBJECT_NAME.fullmatch(path.name)]

    def sweep(self, keep: Collection[str], older_than: float) -> None:
        """Remove objects that are not in `keep`, and uploads without news since a moment."""
        self.remove([object_id for object_id in self.ids() if object_id not in keep])
        self.drop_partials(older_than=older_than)
        self.empty_gone()

    def drop_partials(
        self, uploader: str | None = None, *, older_than: float | None = None
    ) -> None:
        """Remove unfinished uploads: those of an uploader, or without news since a moment."""
        limit = unix_now() + 1.0 if older_than is None else older_than
        for path in self._partial.iterdir():
            if uploader is not None and path.suffix != f".{uploader}":
                continue
            with self._lock:
                upload = self._uploads.get(path)
            if upload is not None and uploader is None:
                continue
            if upload is not None:
                upload.close()
            try:
                if path.stat().st_mtime < limit:
                    path.unlink()
            except FileNotFoundError:
                continue

    def _of(self, object_id: str) -> Path:
        return self.path / object_id

    def _sync_folder(self) -> None:
        folder = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
