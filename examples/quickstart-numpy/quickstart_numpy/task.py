"""The model, training and testing, in plain NumPy: nothing here is federated."""

import numpy as np

from quickstart_numpy.dataset import CLASSES, SOURCES


def new_weights(config):
    """Return the weights of a network with one hidden layer, not yet trained."""
    pixels, hidden_units = np.prod(SOURCES[config["dataset"]].shape), config["hidden-units"]
    rng = np.random.default_rng(config["seed"])
    return [
        rng.normal(0, np.sqrt(2 / pixels), (pixels, hidden_units)).astype(np.float32),
        np.zeros(hidden_units, np.float32),
        rng.normal(0, np.sqrt(1 / hidden_units), (hidden_units, CLASSES)).astype(np.float32),
        np.zeros(CLASSES, np.float32),
    ]


def forward(weights, x):
    """Return the hidden layer's output and the probability of each class."""
    w1, b1, w2, b2 = weights
    hidden = np.maximum(x @ w1 + b1, 0)
    scores = hidden @ w2 + b2
    exp = np.exp(scores - scores.max(axis=1, keepdims=True))
    return hidden, exp / exp.sum(axis=1, keepdims=True)


def train(weights, x, y, *, epochs, learning_rate, batch_size=16):
    """Train by stochastic gradient descent; return weights and the last epoch's mean loss."""
    rng = np.random.default_rng(len(x))
    w1, b1, w2, b2 = weights
    x = x.reshape(len(x), -1)
    loss = 0.0
    for _ in range(epochs):
        losses = []
        order = rng.permutation(len(x))
        for start in range(0, len(x), batch_size):
            batch = order[start : start + batch_size]
            rows, images, labels = np.arange(len(batch)), x[batch], y[batch]
            hidden, probabilities = forward(weights, images)
            losses.append(-np.log(probabilities[rows, labels] + 1e-9).mean())
            error = probabilities
            error[rows, labels] -= 1
            error /= len(batch)
            back = (error @ w2.T) * (hidden > 0)
            w2 -= learning_rate * hidden.T @ error
            b2 -= learning_rate * error.sum(axis=0)
            w1 -= learning_rate * images.T @ back
            b1 -= learning_rate * back.sum(axis=0)
        loss = float(np.mean(losses))
    return weights, loss


def test(weights, x, y):
    """Return loss and accuracy."""
    probabilities = forward(weights, x.reshape(len(x), -1))[1]
    loss = -np.log(probabilities[np.arange(len(y)), y] + 1e-9).mean()
    return float(loss), float((probabilities.argmax(axis=1) == y).mean())
