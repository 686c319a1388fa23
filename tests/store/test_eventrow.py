"""Events as rows."""

import math
import typing
from typing import Any

import msgspec
import numpy as np
import pytest

from flwr.app.events import (
    Aggregated,
    Event,
    Exchange,
    ModelSpoiled,
    NodeMetrics,
    NodeOutcome,
    NodesAwaited,
    RoundFinished,
    RoundStarted,
    RunFinished,
    RunStarted,
    ServerEvaluated,
)
from flwr.store.eventrow import decode
from flwr.store.records import UnknownEvent
from flwr.wire.events import CLASS_OF_KIND, encode

EVENTS: list[Event] = [
    RunStarted(app="acme/quickapp", nodes=10, workers=2),
    RoundStarted(round=1, of=3),
    Exchange(
        message_type="train",
        group_id="1",
        seconds=0.5,
        outcomes=[
            NodeOutcome(2**63 - 1, 0.25, None),
            NodeOutcome(2**64 - 1, 0.25, "ValueError: é\n  at line 3"),
        ],
    ),
    Aggregated(
        round=1,
        phase="train",
        replies=2,
        failures=1,
        metrics={"loss": 0.5, "seen": 3, "per-class": [0.1, 1.0]},
        nodes=[NodeMetrics(5, {"loss": 0.5, "seen": 3})],
    ),
    ServerEvaluated(round=0, metrics={"accuracy": math.inf}),
    RoundFinished(round=1, of=3, seconds=1.5),
    NodesAwaited(connected=2, count=5),
    ModelSpoiled(round=3, reason="array 'w' holds NaN"),
    RunFinished(status="failed", details="it broke"),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_an_event_comes_back_as_it_was(event: Event) -> None:
    assert decode(*encode(event)) == event


def test_every_event_has_a_kind() -> None:
    assert set(CLASS_OF_KIND.values()) == set(typing.get_args(Event))
    assert set(CLASS_OF_KIND.values()) == {type(event) for event in EVENTS}


def test_whole_numbers_and_floats_stay_apart() -> None:
    event = decode(*encode(ServerEvaluated(round=1, metrics={"whole": 1, "float": 1.0})))
    assert isinstance(event, ServerEvaluated)
    assert [type(value) for value in event.metrics.values()] == [int, float]


def test_nan_stays_nan() -> None:
    event = decode(*encode(ServerEvaluated(round=1, metrics={"loss": math.nan})))
    assert isinstance(event, ServerEvaluated)
    assert repr(event.metrics["loss"]) == "nan"


def test_odd_values_become_the_nearest_storable_ones() -> None:
    odd: dict[Any, Any] = {
        "huge": 2**70,
        "huger": -(10**400),
        "float64": np.float64(0.5),
        "object": np.float32(0.5),
        "list": [2**70, True, None],
        3: "\udcff",
    }
    event = decode(*encode(ServerEvaluated(round=1, metrics=odd)))
    assert isinstance(event, ServerEvaluated)
    assert event.metrics == {
        "huge": float(2**70),
        "huger": -math.inf,
        "float64": 0.5,
        "object": "0.5",
        "list": [float(2**70), True, None],
        "3": "?",
    }


def test_an_unknown_kind_is_kept_as_it_is() -> None:
    body = msgspec.msgpack.encode({"rank": 3, "of": [1, 2]})
    assert decode("node-promoted", body) == UnknownEvent("node-promoted", {"rank": 3, "of": [1, 2]})


def test_an_unknown_field_is_dropped() -> None:
    body = msgspec.msgpack.encode({"round": 1, "of": 3, "cohort": 8})
    assert decode("round-started", body) == RoundStarted(round=1, of=3)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("round-started", {"first": 1}),
        ("exchange", {"seconds": 0.5}),
        ("aggregated", {"round": 1, "nodes": [{"node": 5}]}),
        ("aggregated", {"round": 1, "nodes": 5}),
    ],
)
def test_a_known_kind_without_its_fields_is_kept_as_it_is(
    kind: str, given: dict[str, object]
) -> None:
    assert decode(kind, msgspec.msgpack.encode(given)) == UnknownEvent(kind, given)
