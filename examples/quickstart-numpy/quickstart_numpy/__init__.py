"""quickstart-numpy: federated learning of handwritten digits."""
