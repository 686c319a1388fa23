"""The zygote: a small process that loads the ClientApp once and forks workers from it.

It is a fresh interpreter, started by exec before anything else, and stays single-threaded: the
run's own process, with its threads, database and perhaps a GPU, is never forked. It reaps the
workers and tells how each ended. When its channel closes, for whatever reason, it ends them all.
"""

import contextlib
import gc
import mmap
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

import msgspec

from flwr.runtime.capture import print_whole_lines
from flwr.runtime.channel import Channel
from flwr.runtime.handler import App, describe

_here = False  # set in the zygote and in its workers


def started_for_clients() -> bool:
    """Whether this process is a zygote or a worker: one that must start no simulation."""
    return _here


class Load(msgspec.Struct, array_like=True, tag="load"):
    """Load this app: a reference ``module:attribute`` in a folder.

    Without a reference, it is pickled in the file whose descriptor comes with this message.
    """

    component: str
    app_dir: str
    sys_path: list[str]


class Fork(msgspec.Struct, array_like=True, tag="fork"):
    """Fork a worker on the descriptors (channel, status) that come with this message."""

    index: int
    status_nbytes: int
    environment: dict[str, str]


class Loaded(msgspec.Struct, array_like=True, tag="loaded"):
    """The app is there; or why it is not: a one-line summary with the traceback below it."""

    failure: str


class Started(msgspec.Struct, array_like=True, tag="started"):
    """A worker runs."""

    index: int
    pid: int
    forked: bool


class Ended(msgspec.Struct, array_like=True, tag="ended"):
    """A worker is gone: exit status, or the negative number of the signal."""

    index: int
    status: int


ToZygote = Load | Fork
FromZygote = Loaded | Started | Ended

encode = msgspec.msgpack.Encoder().encode
decode_to_zygote = msgspec.msgpack.Decoder(ToZygote).decode
decode_from_zygote = msgspec.msgpack.Decoder(FromZygote).decode


def load_app(load: Load, pickled_fd: int) -> App:
    """Import or unpickle the ClientApp; without a pickle, the descriptor is -1."""
    for entry in load.sys_path:
        if entry not in sys.path:
            sys.path.append(entry)
    if pickled_fd >= 0:
        import cloudpickle

        # an app may hold much data, so it is not read first; workers share the file's position
        with mmap.mmap(pickled_fd, 0, access=mmap.ACCESS_READ) as pickled:
            unpickled: App = cloudpickle.loads(pickled)
        return unpickled
    from flwr.clientapp import ClientApp
    from flwr.runtime.load import load_component

    return load_component(load.component, Path(load.app_dir), ClientApp)


class Zygote:
    """The process's loop.

    Parameters
    ----------
    channel : Channel
        To the run's process.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._app: App | None = None
        self._load: bytes = b""
        self._pickled_fd = -1
        self._children: dict[int, int] = {}  # pid -> index
        self._threads_expected = 0
        self._wakeup_in, self._wakeup_out = socket.socketpair()

    def run(self) -> None:
        """Serve until the channel closes; then end every worker."""
        for end in (self._wakeup_in, self._wakeup_out):
            end.setblocking(False)
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the run's process's business
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakeup_in.fileno(), warn_on_full_buffer=False)
        selector = selectors.DefaultSelector()
        selector.register(self._channel, selectors.EVENT_READ)
        selector.register(self._wakeup_out, selectors.EVENT_READ)
        try:
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._wakeup_out:
                        self._reap()
                    else:
                        self._serve(selector)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            pass
        finally:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._end_workers()

    def _serve(self, selector: selectors.BaseSelector) -> None:
        for received in self._channel.arrived():
            message = decode_to_zygote(received.header)
            if isinstance(message, Load):
                self._load = received.header
                if self._pickled_fd >= 0:
                    os.close(self._pickled_fd)
                [self._pickled_fd] = received.fds or [-1]
                self._try_to_load(message)
            else:
                self._start_worker(message, *received.fds, selector=selector)

    def _try_to_load(self, load: Load) -> None:
        import numpy as np

        np.ones((2, 2)) @ np.ones((2, 2))
        libraries, of_numpy = _blas_libraries(), _thread_count() - 1
        failure = ""
        try:
            self._app = load_app(load, self._pickled_fd)
        except (Exception, SystemExit) as error:
            failure = str(error) if load.component else describe(error)
        # OpenBLAS keeps threads from its import on, and is prepared for a fork. NumPy and SciPy
        # have one each, and the app may have loaded more.
        self._threads_expected = 1 + of_numpy * (1 + _blas_libraries() - libraries)
        gc.collect()
        self._channel.send(encode(Loaded(failure or "")))

    def _start_worker(
        self, fork: Fork, channel_fd: int, status_fd: int, *, selector: selectors.BaseSelector
    ) -> None:
        safe = _thread_count() <= self._threads_expected and not _gpu_in_use()
        if safe:
            pid = os.fork()
            if pid == 0:
                self._become_worker(fork, channel_fd, status_fd, selector)
        else:
            pid = self._spawn(fork, channel_fd, status_fd)
        os.close(channel_fd)
        os.close(status_fd)
        self._children[pid] = fork.index
        self._channel.send(encode(Started(fork.index, pid, safe)))

    def _become_worker(
        self, fork: Fork, channel_fd: int, status_fd: int, selector: selectors.BaseSelector
    ) -> None:
        """Turn the forked copy into a worker; never returns."""
        code = 1
        try:
            from flwr.runtime.worker import prepare_process

            prepare_process()
            selector.close()
            self._channel.close()
            self._wakeup_in.close()
            self._wakeup_out.close()
            assert self._app is not None
            run_worker(self._app, fork, channel_fd, status_fd)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _spawn(self, fork: Fork, channel_fd: int, status_fd: int) -> int:
        """Start a worker by exec: a fork of a process with threads or a GPU context would hang."""
        with tempfile.TemporaryFile(prefix="flwr-") as orders:
            orders.write(encode((self._load, encode(fork))))
            orders.flush()
            fds = (channel_fd, status_fd, orders.fileno(), self._pickled_fd)
            program = (
                f"import sys; sys.path[:] = {sys.path!r}\n"
                f"from flwr.runtime.zygote import spawned_worker; spawned_worker{fds}\n"
            )
            process = subprocess.Popen(  # noqa: S603  (our own interpreter and program)
                [sys.executable, "-c", program], pass_fds=[fd for fd in fds if fd >= 0]
            )
        process.returncode = 0  # this loop reaps it, not subprocess
        return process.pid

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wakeup_out.recv(4096):
                pass
        while self._children:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            index = self._children.pop(pid, None)
            if index is not None:
                _end_group(pid)  # what the user's code had started
                self._channel.send(encode(Ended(index, os.waitstatus_to_exitcode(status))))

    def _end_workers(self) -> None:
        for pid in self._children:
            _end_group(pid)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def run_worker(app: App, fork: Fork, channel_fd: int, status_fd: int) -> None:
    """Run a worker's loop in this process."""
    from flwr.runtime.segments import Segment
    from flwr.runtime.worker import Worker, open_status

    os.environ.update(fork.environment)
    status = open_status(Segment(status_fd, fork.status_nbytes, 0))
    Worker(Channel(socket.socket(fileno=channel_fd)), app, status).run()


def spawned_worker(channel_fd: int, status_fd: int, orders_fd: int, pickled_fd: int) -> None:
    """Entry of a worker that was started by exec instead of fork."""
    from flwr.runtime.worker import prepare_process

    global _here
    _here = True
    print_whole_lines()
    with open(orders_fd, "rb") as orders:
        orders.seek(0)
        load, fork = (decode_to_zygote(order) for order in msgspec.msgpack.decode(orders.read()))
    assert isinstance(load, Load)
    assert isinstance(fork, Fork)
    os.environ.update(fork.environment)
    prepare_process()
    app = load_app(load, pickled_fd)
    if pickled_fd >= 0:
        os.close(pickled_fd)
    run_worker(app, fork, channel_fd, status_fd)


def _end_group(pid: int) -> None:
    """End a worker's process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _thread_count() -> int:
    try:
        return len(os.listdir("/proc/self/task"))  # noqa: PTH208  (a count, no paths)
    except OSError:
        import threading

        return threading.active_count()


def _blas_libraries() -> int:
    """Count the copies of OpenBLAS in this process; 0 where that cannot be known."""
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return 0
    files = {line.rpartition("/")[2] for line in lines}
    return sum("openblas" in name for name in files)


def _gpu_in_use() -> bool:
    """Whether loading the app has made a CUDA context, which a fork does not survive."""
    torch: Any = sys.modules.get("torch")
    return bool(torch and torch.cuda.is_initialized())


def main(fd: int) -> None:
    """Entry of the zygote process; ``fd`` is its end of the channel. Never returns."""
    global _here
    _here = True
    code = 1
    print_whole_lines()
    try:
        Zygote(Channel(socket.socket(fileno=fd))).run()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # what the app has imported need not be torn down
