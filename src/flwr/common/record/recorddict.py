"""The legacy path of `RecordDict`."""

from flwr.app import RecordDict
from flwr.app.renamed import RecordSet

__all__ = ["RecordDict", "RecordSet"]
