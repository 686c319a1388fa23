"""Answering messages."""
