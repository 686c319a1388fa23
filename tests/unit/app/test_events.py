import dataclasses
import typing

import pytest

from flwr.app import events

KINDS = [*typing.get_args(events.Event), events.NodeOutcome, events.NodeMetrics]
FIELDS = {
    "RunStarted": ["app", "nodes", "workers"],
    "RoundStarted": ["round", "of"],
    "NodeOutcome": ["node_id", "seconds", "error"],
    "Exchange": ["message_type", "group_id", "seconds", "outcomes"],
    "NodeMetrics": ["node_id", "metrics"],
    "Aggregated": ["round", "phase", "replies", "failures", "metrics", "nodes"],
    "ServerEvaluated": ["round", "metrics"],
    "RoundFinished": ["round", "of", "seconds"],
    "NodesAwaited": ["connected", "count"],
    "ModelSpoiled": ["round", "reason"],
    "RunFinished": ["status", "details"],
}


def test_the_events():
    assert {
        kind.__name__: [field.name for field in dataclasses.fields(kind)] for kind in KINDS
    } == FIELDS


@pytest.mark.parametrize("kind", KINDS)
def test_events_are_frozen_and_plain(kind):
    event = kind(*range(len(dataclasses.fields(kind))))
    first = dataclasses.fields(kind)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(event, first, 1)
    assert not hasattr(event, "__dict__")
    assert event == dataclasses.replace(event)
