"""The model, training and testing, in JAX: nothing here is federated."""

import jax
import jax.numpy as jnp
import numpy as np

from $package.dataset import CLASSES, SOURCES


def new_weights(config):
    """Return the weights of a network with one hidden layer, not yet trained."""
    pixels, hidden_units = np.prod(SOURCES[config["dataset"]].shape), config["hidden-units"]
    key1, key2 = jax.random.split(jax.random.key(config["seed"]))
    params = [
        jax.random.normal(key1, (pixels, hidden_units)) * jnp.sqrt(2 / pixels),
        jnp.zeros(hidden_units),
        jax.random.normal(key2, (hidden_units, CLASSES)) * jnp.sqrt(1 / hidden_units),
        jnp.zeros(CLASSES),
    ]
    return to_numpy(params)


def to_numpy(params):
    """Return the weights as NumPy arrays."""
    return [np.asarray(param) for param in params]


@jax.jit
def forward(params, x):
    """Return the scores of each image's classes."""
    w1, b1, w2, b2 = params
    return jax.nn.relu(x.reshape(len(x), -1) @ w1 + b1) @ w2 + b2


@jax.jit
def mean_loss(params, x, y):
    """Return the mean cross-entropy."""
    log_probabilities = jax.nn.log_softmax(forward(params, x))
    return -jnp.take_along_axis(log_probabilities, y[:, None], axis=1).mean()


@jax.jit
def step(params, x, y, learning_rate):
    """Take a step of gradient descent; return weights and loss."""
    loss, gradients = jax.value_and_grad(mean_loss)(params, x, y)
    return jax.tree.map(lambda p, g: p - learning_rate * g, params, gradients), loss


def train(weights, x, y, *, epochs, learning_rate, batch_size=16):
    """Train for some passes over the data; return weights and the last pass's mean loss."""
    rng = np.random.default_rng(len(x))
    params, losses = weights, []
    for _ in range(epochs):
        # Full batches only, or `step` would be compiled again: the last takes some images twice.
        order = np.resize(rng.permutation(len(x)), (-(-len(x) // batch_size), batch_size))
        losses = []
        for batch in order:
            params, loss = step(params, x[batch], y[batch], learning_rate)
            losses.append(loss)
    return to_numpy(params), float(jnp.mean(jnp.array(losses)))


def test(weights, x, y):
    """Return loss and accuracy."""
    accuracy = (forward(weights, x).argmax(axis=1) == y).mean()
    return float(mean_loss(weights, x, y)), float(accuracy)
