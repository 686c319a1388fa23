"""Federated learning of handwritten digits with scikit-learn."""
