"""Starting the zygote and, through it, workers; hearing how they end."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import CodeType
from typing import Any, BinaryIO, ClassVar

from flwr.errors import AppLoadError, EngineError
from flwr.runtime import zygote
from flwr.runtime.channel import Channel
from flwr.runtime.segments import Segment, new_file

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def pickle_app(app: Any, *, by_value: bool = False) -> BinaryIO:
    """Pickle an app object for local workers, into an unnamed file.

    Parameters
    ----------
    app : ClientApp
        The object; functions of importable modules go by name, others by value.
    by_value : bool
        Whether the functions' own modules cannot be imported elsewhere either.

    Raises
    ------
    AppLoadError
        If something that the app's functions use cannot be copied into another process.
    """
    import cloudpickle

    modules = {
        sys.modules[name]
        for name in (_modules_of(app) if by_value else ())
        if name in sys.modules and name.split(".")[0] not in ("flwr", "__main__")
    }
    with contextlib.ExitStack() as stack:
        for module in modules:
            cloudpickle.register_pickle_by_value(module)
            stack.callback(cloudpickle.unregister_pickle_by_value, module)
        try:
            return _dump(app)
        except (TypeError, ValueError, AttributeError, RecursionError, OSError) as error:
            raise AppLoadError(
                f"The ClientApp cannot be handed to worker processes: {error}",
                hint="Something that its functions use from outside (a global, a closure, a "
                "default) cannot be copied, such as a lock, an open file or a generator. Make it "
                "inside the function, move the app into a module that can be imported, or use "
                "the debug mode.",
            ) from error


def _dump(app: Any) -> BinaryIO:
    """Pickle an app; code that goes by value keeps the name of its file, for tracebacks."""
    import cloudpickle

    reduce_code = cloudpickle.Pickler.dispatch_table[CodeType]

    def reduce(code: CodeType) -> tuple[Any, ...]:
        make, arguments = reduce_code(code)[:2]
        return _code_of_file, (make, arguments, code.co_filename)

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it ships no types
        dispatch_table: ClassVar[Any] = ChainMap(
            {CodeType: reduce}, cloudpickle.Pickler.dispatch_table
        )

    with contextlib.ExitStack() as stack:
        file = stack.enter_context(os.fdopen(new_file(), "wb"))
        Pickler(file).dump(app)
        file.flush()
        stack.pop_all()
    return file


def _code_of_file(make: Callable[..., CodeType], arguments: tuple[Any, ...], name: str) -> CodeType:
    return make(*arguments).replace(co_filename=name)


def _modules_of(thing: object) -> set[str]:
    """Return the modules in which an app's functions were defined."""
    found: set[str] = set()
    seen: set[int] = set()
    todo: list[object] = [thing]
    while todo:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        module = getattr(one, "__module__", None)
        if callable(one) and isinstance(module, str):
            found.add(module)
        for cell in getattr(one, "__closure__", None) or ():
            with contextlib.suppress(ValueError):  # an empty cell
                todo.append(cell.cell_contents)
        if isinstance(one, dict):
            todo.extend(one.values())
        elif isinstance(one, list | tuple):
            todo.extend(one)
        elif type(one).__module__.startswith("flwr."):
            todo.extend(vars(one).values())
    return found


class ZygoteHandle:
    """The run's process's end of a zygote.

    Parameters
    ----------
    threads : int
        BLAS and OpenMP threads of each worker.
    output : int, optional
        Descriptor for the workers' standard output and error; inherited by default.
    """

    def __init__(self, *, threads: int = 1, output: int | None = None) -> None:
        ours, theirs = socket.socketpair()
        environment = dict(os.environ)
        for name in _THREAD_VARIABLES:
            environment.setdefault(name, str(max(1, threads)))
        program = (
            f"import sys; sys.path[:] = {sys.path!r}\n"
            f"from flwr.runtime.zygote import main; main({theirs.fileno()})\n"
        )
        self._process = subprocess.Popen(  # noqa: S603  (our own interpreter and program)
            [sys.executable, "-c", program],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        self.channel = Channel(ours)
        self.loaded = False

    @property
    def pid(self) -> int:
        """Process id of the zygote."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """How it ended: exit status, or the negative number of the signal; None if it has not."""
        return self._process.poll()

    def load(
        self, *, component: str = "", app_dir: Path | None = None, pickled: BinaryIO | None = None
    ) -> None:
        """Ask for an app to be loaded; ``receive`` tells when it is, or why not.

        The app is either a reference or what `pickle_app` gave, which is closed here.
        """
        entries = [str(Path(entry).absolute()) if entry else str(Path.cwd()) for entry in sys.path]
        self.loaded = False
        load = zygote.encode(zygote.Load(component, str(app_dir or ""), entries))
        with pickled or contextlib.nullcontext():
            self.channel.send(load, fds=[] if pickled is None else [pickled.fileno()])

    def start_worker(
        self, index: int, environment: Mapping[str, str], status: Segment
    ) -> socket.socket:
        """Ask for a worker and return our end of its channel, usable at once."""
        ours, theirs = socket.socketpair()
        fork = zygote.Fork(index, status.nbytes, dict(environment))
        with theirs:
            self.channel.send(zygote.encode(fork), fds=[theirs.fileno(), status.fd])
        return ours

    def receive(self) -> zygote.FromZygote:
        """Return the zygote's next message; blocks until it is there.

        Raises
        ------
        EngineError
            If the zygote is gone.
        """
        try:
            message: zygote.FromZygote = zygote.decode_from_zygote(self.channel.receive().header)
        except EOFError as error:
            raise self._gone() from error
        return message

    def arrived(self) -> Iterator[zygote.FromZygote]:
        """Yield the messages that are there; raises as ``receive`` does."""
        try:
            for received in self.channel.arrived():
                yield zygote.decode_from_zygote(received.header)
        except EOFError as error:
            raise self._gone() from error

    def _gone(self) -> EngineError:
        return EngineError(
            f"The process that starts workers ended unexpectedly (status {self._process.wait()}).",
            hint="Its own output, above, may say why.",
        )

    def close(self) -> None:
        """End the zygote, which ends its workers."""
        self.channel.close()
        try:
            self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            # It is importing the app, or stopped: it has no say in this.
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
