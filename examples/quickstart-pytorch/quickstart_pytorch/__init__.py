"""Federated learning of handwritten digits with PyTorch."""
