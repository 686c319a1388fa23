"""The model, training and testing, with scikit-learn: nothing here is federated."""

import numpy as np
from sklearn.metrics import log_loss
from sklearn.neural_network import MLPClassifier

from quickstart_sklearn.dataset import CLASSES, SOURCES


def new_classifier(pixels, hidden_units, *, learning_rate=0.001, seed=0):
    """Return a classifier with one hidden layer that is not yet trained."""
    model = MLPClassifier(
        (hidden_units,), solver="sgd", learning_rate_init=learning_rate, random_state=seed
    )
    # scikit-learn makes the weights when it first sees data: here one step on blank images.
    classes = range(CLASSES)
    return model.partial_fit(np.zeros((CLASSES, pixels)), classes, classes=classes)


def classifier_of(weights, **settings):
    """Return a classifier that has the given weights."""
    model = new_classifier(*weights[0].shape, **settings)
    model.coefs_, model.intercepts_ = weights[:2], weights[2:]
    return model


def new_weights(config):
    """Return the weights of a network that is not yet trained, as a list of arrays."""
    pixels = int(np.prod(SOURCES[config["dataset"]].shape))
    model = new_classifier(pixels, config["hidden-units"], seed=config["seed"])
    return [*model.coefs_, *model.intercepts_]


def train(weights, x, y, *, epochs, learning_rate, batch_size=16):
    """Train for some passes over the data; return weights and the last pass's mean loss."""
    model = classifier_of(weights, learning_rate=learning_rate)
    model.set_params(batch_size=min(batch_size, len(x)))
    for _ in range(epochs):
        model.partial_fit(x.reshape(len(x), -1), y)
    return [*model.coefs_, *model.intercepts_], float(model.loss_)


def test(weights, x, y):
    """Return loss and accuracy."""
    probabilities = classifier_of(weights).predict_proba(x.reshape(len(x), -1))
    accuracy = float((probabilities.argmax(axis=1) == y).mean())
    return float(log_loss(y, probabilities, labels=range(CLASSES))), accuracy
