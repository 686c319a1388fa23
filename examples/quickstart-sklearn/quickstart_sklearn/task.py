"""The model, training and testing, with scikit-learn: nothing here is federated."""

import numpy as np
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier

PIXELS, DIGITS = 64, range(10)


def new_classifier(hidden_units, *, learning_rate=0.001, seed=0):
    """Return a classifier with one hidden layer that is not yet trained."""
    model = MLPClassifier(
        (hidden_units,), solver="sgd", learning_rate_init=learning_rate, random_state=seed
    )
    # scikit-learn makes the weights when it first sees data: here one step on blank images.
    return model.partial_fit(np.zeros((len(DIGITS), PIXELS)), DIGITS, classes=DIGITS)


def classifier_of(weights, **settings):
    """Return a classifier that has the given weights."""
    model = new_classifier(weights[0].shape[1], **settings)
    model.coefs_, model.intercepts_ = weights[:2], weights[2:]
    return model


def new_weights(hidden_units, seed):
    """Return the weights of a network that is not yet trained, as a list of arrays."""
    model = new_classifier(hidden_units, seed=seed)
    return [*model.coefs_, *model.intercepts_]


def train(weights, x, y, *, epochs, learning_rate, batch_size=16):
    """Train for some passes over the data; return weights and the last pass's mean loss."""
    model = classifier_of(weights, learning_rate=learning_rate)
    model.set_params(batch_size=min(batch_size, len(x)))
    for _ in range(epochs):
        model.partial_fit(x, y)
    return [*model.coefs_, *model.intercepts_], float(model.loss_)


def test(weights, x, y):
    """Return loss and accuracy."""
    probabilities = classifier_of(weights).predict_proba(x)
    accuracy = float((probabilities.argmax(axis=1) == y).mean())
    return float(log_loss(y, probabilities, labels=DIGITS)), accuracy
