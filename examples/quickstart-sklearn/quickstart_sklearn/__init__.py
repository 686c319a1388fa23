"""quickstart-sklearn: federated learning of handwritten digits."""
