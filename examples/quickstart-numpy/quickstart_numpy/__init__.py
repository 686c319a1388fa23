"""Federated learning of handwritten digits with NumPy."""
