"""`DPFedAvgFixed` at its old path; see `flwr.compat.strategy.dpfedavg_fixed`."""

from flwr.compat.strategy.dpfedavg_fixed import DPFedAvgFixed

__all__ = ["DPFedAvgFixed"]
