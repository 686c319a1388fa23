"""Handwritten digits, dealt to clients, and a small network in NumPy: nothing here is federated."""

from functools import cache

import numpy as np
from sklearn.datasets import load_digits

PIXELS, HIDDEN, DIGITS = 64, 32, 10


@cache
def load_data():
    """Return training images and labels, test images and labels; pixels are from 0 to 1."""
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(labels))
    x, y = images[order].astype(np.float32) / 16, labels[order]
    held_out = len(y) // 5
    return x[held_out:], y[held_out:], x[:held_out], y[:held_out]


@cache
def by_label(clients, labels_each, seed):
    """Deal the training images so that a client has only some of the digits.

    The images are sorted by digit and cut into shards; each client gets some shards at random.
    """
    y = load_data()[1]
    shards = np.array_split(np.argsort(y, kind="stable"), clients * labels_each)
    order = np.random.default_rng(seed).permutation(len(shards))
    return [np.concatenate([shards[s] for s in own]) for own in order.reshape(clients, -1)]


@cache
def at_random(clients, seed):
    """Deal the training images so that clients are alike."""
    return np.array_split(np.random.default_rng(seed).permutation(len(load_data()[1])), clients)


def new_weights(seed):
    """Return the weights of a network with one hidden layer, not yet trained."""
    rng = np.random.default_rng(seed)
    return [
        rng.normal(0, np.sqrt(2 / PIXELS), (PIXELS, HIDDEN)).astype(np.float32),
        np.zeros(HIDDEN, np.float32),
        rng.normal(0, np.sqrt(1 / HIDDEN), (HIDDEN, DIGITS)).astype(np.float32),
        np.zeros(DIGITS, np.float32),
    ]


def forward(weights, x):
    """Return the hidden layer's output and the probability of each digit."""
    w1, b1, w2, b2 = weights
    hidden = np.maximum(x @ w1 + b1, 0)
    scores = hidden @ w2 + b2
    exp = np.exp(scores - scores.max(axis=1, keepdims=True))
    return hidden, exp / exp.sum(axis=1, keepdims=True)


def accuracy(weights, x, y):
    """Return the share of images that are read as the digit that they show."""
    return float((forward(weights, x)[1].argmax(axis=1) == y).mean())


def train(weights, x, y, *, epochs, learning_rate, proximal_mu=0.0, seed=0, batch_size=16):
    """Train by stochastic gradient descent; with ``proximal_mu``, on FedProx's loss.

    That is the network's loss plus ``mu / 2 * ||w - w_t||^2``, the square of the norm over all
    parameters together: its gradient is ``mu * (w - w_t)``.
    """
    rng = np.random.default_rng(seed)
    start = [array.copy() for array in weights]
    _, _, w2, _ = weights
    for _ in range(epochs):
        order = rng.permutation(len(x))
        for first in range(0, len(x), batch_size):
            batch = order[first : first + batch_size]
            images, rows = x[batch], np.arange(len(batch))
            hidden, error = forward(weights, images)
            error[rows, y[batch]] -= 1
            error /= len(batch)
            back = (error @ w2.T) * (hidden > 0)
            gradients = images.T @ back, back.sum(axis=0), hidden.T @ error, error.sum(axis=0)
            for i, gradient in enumerate(gradients):
                proximal = proximal_mu * (weights[i] - start[i]) if proximal_mu else 0
                weights[i] -= learning_rate * (gradient + proximal)
    return weights


def distance(weights, others):
    """Return the L2 norm of the difference, over all parameters together."""
    squares = [((a - b) ** 2).sum() for a, b in zip(weights, others, strict=True)]
    return float(np.sqrt(sum(squares)))
