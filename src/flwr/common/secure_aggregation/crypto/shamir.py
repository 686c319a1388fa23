"""Shares of secrets, which are not there yet."""

from flwr.compat.secure_aggregation.crypto import combine_shares, create_shares

__all__ = ["combine_shares", "create_shares"]
