"""Federated statistics with pandas."""
