"""Secure aggregation: its simple maths; the rest is not there yet and says so."""
