"""The legacy path of `ConfigRecord`."""

from flwr.app import ConfigRecord
from flwr.app.renamed import ConfigsRecord

__all__ = ["ConfigRecord", "ConfigsRecord"]
