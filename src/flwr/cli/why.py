"""``flwr why``: the first cause of a pending, slow or failed run."""

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from flwr.cli.arguments import AppOrConnection, ConnectionOfApp, RunId
from flwr.cli.output import FormatOption, OutputFormat, reporting, time_text
from flwr.cli.place import find_place
from flwr.clock import unix_now
from flwr.config import Place

if TYPE_CHECKING:
    from flwr.runtime.diagnosis import Diagnosis
    from flwr.runtime.facts import Facts, Told

_TAIL = 1 << 16  # characters at the end of a log, in which a traceback is looked for


def why(
    run_id: RunId,
    app: AppOrConnection = None,
    connection: ConnectionOfApp = None,
    output_format: FormatOption = OutputFormat.DEFAULT,
) -> None:
    """Say why a run failed, waits or is slow: the first cause, what shows it, and what to do."""
    with reporting(output_format) as result:
        from flwr.runtime.diagnosis import diagnose

        place = find_place(app, connection)
        facts = _here(run_id) if place.address is None else _there(place, run_id)
        diagnosis = diagnose(facts)
        result.update(
            {
                "run-id": str(run_id),
                "status": facts.state,
                "cause": str(diagnosis.cause),
                "headline": diagnosis.headline,
                "evidence": list(diagnosis.evidence),
                "advice": list(diagnosis.advice),
            }
        )
        if output_format is not OutputFormat.JSON:
            _print(facts, diagnosis)


def _print(facts: "Facts", diagnosis: "Diagnosis") -> None:
    typer.echo(f"Run {facts.run_id} is {facts.state} ({diagnosis.cause})\n{diagnosis.text()}")
    for line in diagnosis.advice:
        typer.echo(f"What to do: {line}")


def _here(run_id: int) -> "Facts":
    """Gather what this machine knows of a run in place."""
    from flwr.app.events import RunFinished
    from flwr.cli.local_store import open_store, runs_dir
    from flwr.runtime.facts import Facts
    from flwr.store import RunDir

    with open_store() as store:
        run = store.run(run_id)
        events = store.events(run_id)
    told = _told(recorded.event for recorded in events)
    last = events[-1].event if events else None
    newest = max((recorded.at for recorded in events), default=_unix(run.changed_at))
    return Facts(
        run_id=run_id,
        state=run.state.value,
        # The event also tells where in the app it was.
        details=last.details if isinstance(last, RunFinished) else run.details,
        told=told,
        elapsed=unix_now() - _unix(run.pending_at),
        quiet=unix_now() - newest,
        finished_at=_read_at(run.finished_at),
        log_tail=_tail(RunDir(runs_dir(), run_id).log),
    )


def _there(place: Place, run_id: int) -> "Facts":
    """Ask the SuperLink what it knows of a run."""
    from flwr.cli.superlink import connected, follow_log
    from flwr.runtime.facts import Facts, OpenMessage
    from flwr.store.eventrow import decode
    from flwr.transport.control import (
        EVENTS,
        NODES,
        OPEN,
        RUNS,
        Follow,
        RecordedEvent,
        RunsQuestion,
    )
    from flwr.transport.parts import Nothing, RunQuestion

    with connected(place) as link:
        listed = link.call(RUNS, RunsQuestion(run_id))
        (run,) = listed.runs
        events: list[RecordedEvent] = []
        while part := link.call(EVENTS, Follow(run_id, len(events), wait=0.0)).events:
            events += part
        nodes = {node.node_id: node for node in link.call(NODES, Nothing()).nodes}
        unanswered = link.call(OPEN, RunQuestion(run_id)).messages
        tail = ""
        for printed in follow_log(link, run_id, live=False):
            tail = (tail + "".join(entry.text for entry in printed.entries))[-_TAIL:]
    changed = run.finished_at or run.running_at or run.starting_at or run.pending_at
    newest = max((event.at for event in events), default=_unix(changed))
    return Facts(
        run_id=run_id,
        state=run.state,
        details=run.details,
        told=_told(decode(event.kind, event.body) for event in events),
        in_place=False,
        elapsed=listed.now - _unix(run.pending_at),
        quiet=listed.now - newest,
        finished_at=_read_at(run.finished_at),
        online=sum(node.online for node in nodes.values()),
        names={node_id: node.name for node_id, node in nodes.items() if node.name},
        open=tuple(
            OpenMessage(
                each.node_id,
                each.message_type,
                each.seconds,
                not each.away,
                each.handed_out,
                each.busy_with,
            )
            for each in unanswered
        ),
        log_tail=tail,
    )


def _told(events: Iterable[object]) -> "Told":
    """Gather events; those of newer versions are passed over."""
    from flwr.runtime.facts import Told
    from flwr.store import UnknownEvent

    told = Told()
    for event in events:
        if not isinstance(event, UnknownEvent):
            told.add(event)  # type: ignore[arg-type]  # all others are events
    return told


def _tail(log: Path) -> str:
    """Return the end of a run's log, or nothing if it has none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL))
            return file.read().decode(errors="replace")
    except OSError:
        return ""


def _read_at(iso: str | None) -> str:
    return time_text(iso) if iso else ""


def _unix(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()
