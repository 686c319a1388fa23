"""The path of `ConfigRecord` before version 1.17."""

from flwr.app.renamed import ConfigsRecord

__all__ = ["ConfigsRecord"]
