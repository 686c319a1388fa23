"""A pool of workers is closed while another thread waits on their sockets."""

import selectors
import threading
from typing import Any

from flwr.errors import EngineError
from flwr.runtime.launch import ZygoteHandle
from flwr.runtime.pool import WorkerPool


class SlowToWake:
    """A selector whose caller goes on only when it may, as on a busy machine."""

    def __init__(self, inner: selectors.BaseSelector) -> None:
        self._inner = inner
        self.waits = threading.Event()
        self.may_wake = threading.Event()
        self.closed_under_it = False

    def select(self, timeout: float | None = None) -> Any:
        self.waits.set()
        assert self.may_wake.wait(30)
        return [] if self.closed_under_it else self._inner.select(timeout)

    def close(self) -> None:
        self.closed_under_it = not self.may_wake.is_set()
        self.may_wake.set()
        self._inner.close()


def test_whoever_waits_for_news_is_woken_before_the_sockets_are_closed() -> None:
    # closed sockets leave an epoll set without a word: whoever has not woken yet waits for ever
    pool = WorkerPool(ZygoteHandle(), 1)
    selector = SlowToWake(pool._selector)
    pool._selector = selector  # type: ignore[assignment]
    ended: list[Exception] = []

    def wait_for_news() -> None:
        try:
            while True:
                pool.pump(None, pool.news)
        except EngineError as error:
            ended.append(error)

    waiting = threading.Thread(target=wait_for_news)
    waiting.start()
    assert selector.waits.wait(30)
    threading.Timer(0.2, selector.may_wake.set).start()
    pool.close()
    waiting.join(30)
    assert not selector.closed_under_it
    assert len(ended) == 1
