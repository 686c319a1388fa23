"""Old import path of a helper that published apps use."""

from flwr.serverapp.strategy.summary import log_strategy_start_info

__all__ = ["log_strategy_start_info"]
