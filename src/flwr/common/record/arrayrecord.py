"""The legacy path of `Array` and `ArrayRecord`."""

from flwr.app import Array, ArrayRecord
from flwr.app.renamed import ParametersRecord

__all__ = ["Array", "ArrayRecord", "ParametersRecord"]
