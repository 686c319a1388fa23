"""Clients as a legacy server sees them."""
