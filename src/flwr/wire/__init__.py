"""How messages become bytes: parcels, and the codecs of records and metadata. No I/O."""

from flwr.wire.parcel import Parcel as Parcel
from flwr.wire.parcel import open as open  # noqa: A004  (settled: the face is `wire.open`)
from flwr.wire.parcel import seal as seal

__all__ = ["Parcel", "open", "seal"]
