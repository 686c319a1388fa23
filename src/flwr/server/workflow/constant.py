"""What legacy workflows call their records."""

from flwr.compat.server.workflow import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD, Key

__all__ = ["MAIN_CONFIGS_RECORD", "MAIN_PARAMS_RECORD", "Key"]
