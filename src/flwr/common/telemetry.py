"""The legacy path of telemetry, which sends nothing."""

from flwr.compat.telemetry import EventType, event

__all__ = ["EventType", "event"]
