"""Reports: grouped while one is in flight, none lost, and an end when the run is over."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from app_hub import AppHub

from flwr.app.events import RoundFinished, RoundStarted
from flwr.errors import LinkError, RefusedError
from flwr.runtime import reporter as module
from flwr.runtime.reporter import Reporter
from flwr.store.eventrow import decode
from flwr.transport import appio


@pytest.fixture
def hub() -> Iterator[AppHub]:
    with AppHub() as hub:
        yield hub


class Ends(list[LinkError | None]):
    """Why reporting ended; can be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.came = threading.Event()

    def __call__(self, error: LinkError | None) -> None:
        self.append(error)
        self.came.set()


def test_what_comes_while_a_report_is_in_flight_makes_the_next_one(hub: AppHub) -> None:
    gate, arrived = threading.Event(), threading.Event()
    answer = hub._report

    async def slow(request: appio.Report, caller: Any) -> appio.Reported:
        import asyncio

        arrived.set()
        await asyncio.to_thread(gate.wait, 20)
        return await answer(request, caller)

    hub._report = slow  # type: ignore[method-assign]
    hub.stop()
    hub.start()
    reporter = Reporter(hub.link(), Ends())
    reporter.write("first\n")
    assert arrived.wait(20)
    for number in range(50):
        reporter.write(f"line {number}\n")
    reporter.emit(RoundStarted(1, 3))
    gate.set()
    reporter.close()
    assert [report.seq for report in hub.reports] == [1, 2]
    assert hub.text == "first\n" + "".join(f"line {number}\n" for number in range(50))


def test_events_arrive_in_order_with_their_times(hub: AppHub) -> None:
    reporter = Reporter(hub.link(), Ends())
    told = [RoundStarted(1, 2), RoundFinished(1, 2, 0.5), RoundStarted(2, 2)]
    for event in told:
        reporter.emit(event)
    reporter.flush()
    assert [decode(each.kind, each.body) for each in hub.events] == told
    assert all(each.at > 1.7e9 for each in hub.events)
    reporter.close()


def test_nothing_is_lost_while_the_hub_is_away(hub: AppHub) -> None:
    reporter = Reporter(hub.link(), Ends())
    hub.stop()
    reporter.write("kept\n")
    threading.Timer(0.3, hub.start).start()
    reporter.flush()
    assert hub.text == "kept\n"
    reporter.close()


def test_a_long_text_is_told_in_pieces_and_holds_up_its_writer(
    hub: AppHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_TEXT", 100)
    monkeypatch.setattr(module, "MOST_HELD", 300)
    reporter = Reporter(hub.link(), Ends())
    text = "".join(f"{number:09}\n" for number in range(200))
    for at in range(0, len(text), 50):
        reporter.write(text[at : at + 50])
    reporter.close()
    assert hub.text == text
    assert max(len(report.text) for report in hub.reports) <= 100


def test_silence_is_broken_by_a_sign_of_life(hub: AppHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENCE_SECONDS", 0.05)
    reporter = Reporter(hub.link(), Ends())
    for _ in range(500):
        if hub.reports:
            break
        threading.Event().wait(0.02)
    reporter.close()
    assert not hub.reports[0].text


def test_a_run_that_is_over_ends_it_at_once(hub: AppHub) -> None:
    ends = Ends()
    reporter = Reporter(hub.link(), ends)
    hub.end_run()
    reporter.write("too late\n")
    assert ends.came.wait(20)
    reporter.write("ignored\n")
    reporter.flush()
    reporter.close()
    assert ends == [None]


def test_a_superseded_process_is_told_so(hub: AppHub) -> None:
    ends, link = Ends(), hub.link()
    hub.attempt = 2
    reporter = Reporter(link, ends)
    reporter.write("from the past\n")
    assert ends.came.wait(20)
    reporter.close()
    (error,) = ends
    assert isinstance(error, RefusedError)
    assert error.code == "superseded"
