"""The path of `RecordDict` before version 1.17."""

from flwr.app.renamed import RecordSet

__all__ = ["RecordSet"]
