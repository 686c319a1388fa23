"""$name: federated learning of handwritten digits."""
