"""The legacy path of `DPFedAvgNumPyClient`."""

from flwr.compat.client.dpfedavg_numpy_client import DPFedAvgNumPyClient

__all__ = ["DPFedAvgNumPyClient"]
