"""The legacy path of names in the messages of secure aggregation."""

from flwr.compat.secure_aggregation.keys import RECORD_KEY_CONFIGS, RECORD_KEY_STATE, Key, Stage

__all__ = ["RECORD_KEY_CONFIGS", "RECORD_KEY_STATE", "Key", "Stage"]
