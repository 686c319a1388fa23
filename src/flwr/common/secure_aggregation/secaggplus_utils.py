"""Helpers of secure aggregation, which are not there yet."""

from flwr.compat.secure_aggregation.crypto import (
    pseudo_rand_gen,
    share_keys_plaintext_concat,
    share_keys_plaintext_separate,
)

__all__ = ["pseudo_rand_gen", "share_keys_plaintext_concat", "share_keys_plaintext_separate"]
