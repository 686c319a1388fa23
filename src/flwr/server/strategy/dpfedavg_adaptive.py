"""`DPFedAvgAdaptive` at its old path; see `flwr.compat.strategy.dpfedavg_adaptive`."""

from flwr.compat.strategy.dpfedavg_adaptive import DPFedAvgAdaptive

__all__ = ["DPFedAvgAdaptive"]
