"""A proxy that cuts connections in the middle of what they carry."""

import contextlib
import random
import socket
import struct
import threading

_RESET = struct.pack("ii", 1, 0)  # close without a goodbye
_PIECE = 4096


class CuttingProxy:
    """Passes connections on to a port; from `begin` on each until it has carried so many bytes.

    Parameters
    ----------
    port : int
        Of this machine.
    generator : random.Random
        Chooses how many.
    most : int
        The most bytes.

    Attributes
    ----------
    port : int
        Its own.
    cuts : int
        How many connections were cut.
    """

    def __init__(self, port: int, generator: random.Random, most: int) -> None:
        self._to = port
        self._generator = generator
        self._most = most
        self._lock = threading.Lock()
        self.cuts = 0
        self._cutting = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def begin(self) -> None:
        """Cut connections from now on."""
        self._cutting = True

    def close(self) -> None:
        """Take no more connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                client.close()
                continue
            with self._lock:
                budget = [self._generator.randrange(1000, self._most)]
            for source, sink in ((client, server), (server, client)):
                pump = threading.Thread(target=self._pump, args=(source, sink, budget), daemon=True)
                pump.start()

    def _pump(self, source: socket.socket, sink: socket.socket, budget: list[int]) -> None:
        cut = False
        with contextlib.suppress(OSError):
            while not cut and (data := source.recv(_PIECE)):
                budget[0] -= len(data)
                cut = self._cutting and budget[0] <= 0
                if cut:
                    self.cuts += 1
                    data = data[: len(data) // 2]
                sink.sendall(data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                if cut:
                    each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                each.shutdown(socket.SHUT_RDWR)
            each.close()
