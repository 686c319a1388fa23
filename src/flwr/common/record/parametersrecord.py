"""The path of `ArrayRecord` before version 1.17."""

from flwr.app import Array
from flwr.app.renamed import ParametersRecord

__all__ = ["Array", "ParametersRecord"]
