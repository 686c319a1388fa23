"""A relay in between that cuts connections when a test says so."""

import socket
import threading


class Relay:
    """Passes bytes on to a port; cuts a connection after so many bytes of one direction.

    Parameters
    ----------
    port : int
        Where to.
    up, down : list of int
        For each connection in turn: how many bytes to pass before the cut. Afterwards no limit.
    """

    def __init__(self, port: int, *, up: list[int] | None = None, down: list[int] | None = None):
        self.target = port
        self.up, self.down = up or [], down or []
        self.passed = {"up": 0, "down": 0}
        self.connections = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> "Relay":
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            far = socket.create_connection(("127.0.0.1", self.target), 10)
            far.settimeout(None)
            limits = (self.up.pop(0) if self.up else -1, self.down.pop(0) if self.down else -1)
            for name, source, sink, limit in (
                ("up", near, far, limits[0]),
                ("down", far, near, limits[1]),
            ):
                thread = threading.Thread(target=self._pass, args=(name, source, sink, limit))
                self._threads.append(thread)
                thread.start()

    def _pass(self, name: str, source: socket.socket, sink: socket.socket, limit: int) -> None:
        passed = 0
        try:
            while passed != limit:
                most = 65536 if limit < 0 else min(65536, limit - passed)
                data = source.recv(most)
                if not data:
                    break
                sink.sendall(data)
                passed += len(data)
                self.passed[name] += len(data)
        except OSError:
            pass
        for sock in (source, sink):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        if name == "down":
            source.close()
            sink.close()
