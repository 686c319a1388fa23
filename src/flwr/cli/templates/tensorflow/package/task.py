"""The model, training and testing, in TensorFlow: nothing here is federated."""

import os
from functools import cache

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before the import, else it tells of its build

import keras
from keras import layers

from $package.dataset import CLASSES, SOURCES


@cache  # compiled once in each process, and given new weights for each message
def model_for(shape):
    """Return a small convolutional network for images of this shape."""
    model = keras.Sequential(
        [
            keras.Input(shape),
            layers.Conv2D(16, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(CLASSES, activation="softmax"),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def new_weights(config):
    """Return the weights of a network that is not yet trained."""
    keras.utils.set_random_seed(config["seed"])
    return model_for(SOURCES[config["dataset"]].shape).get_weights()


def train(weights, x, y, *, epochs, learning_rate, batch_size=16):
    """Train for some passes over the data; return weights and the last pass's mean loss."""
    model = model_for(x.shape[1:])
    model.set_weights(weights)
    model.optimizer.learning_rate = learning_rate
    history = model.fit(x, y, batch_size, epochs, verbose=0)
    return model.get_weights(), history.history["loss"][-1]


def test(weights, x, y):
    """Return loss and accuracy."""
    model = model_for(x.shape[1:])
    model.set_weights(weights)
    loss, accuracy = model.evaluate(x, y, batch_size=256, verbose=0)
    return loss, accuracy
