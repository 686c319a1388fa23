"""The model, training and testing, in MLX: nothing here is federated."""

import mlx.core as mx
import numpy as np
from mlx import nn, optimizers
from mlx.utils import tree_flatten

from $package.dataset import CLASSES, SOURCES

NAMES = ("layer1.weight", "layer1.bias", "layer2.weight", "layer2.bias")  # in the order of weights


class Net(nn.Module):
    """A network with one hidden layer."""

    def __init__(self, pixels, hidden_units):
        super().__init__()
        self.layer1 = nn.Linear(pixels, hidden_units)
        self.layer2 = nn.Linear(hidden_units, CLASSES)

    def __call__(self, x):
        """Return the scores of each image's classes."""
        return self.layer2(nn.relu(self.layer1(x.reshape(len(x), -1))))


def weights_of(model):
    """Return the weights of a network as NumPy arrays."""
    arrays = dict(tree_flatten(model.parameters()))
    return [np.array(arrays[name]) for name in NAMES]


def net_of(weights):
    """Return a network that has the given weights."""
    hidden_units, pixels = weights[0].shape
    model = Net(pixels, hidden_units)
    arrays = map(mx.array, weights)
    return model.load_weights(list(zip(NAMES, arrays, strict=True)))


def new_weights(config):
    """Return the weights of a network that is not yet trained."""
    mx.random.seed(config["seed"])
    return weights_of(Net(int(np.prod(SOURCES[config["dataset"]].shape)), config["hidden-units"]))


def mean_loss(model, x, y):
    """Return the mean cross-entropy."""
    return nn.losses.cross_entropy(model(x), y, reduction="mean")


def train(weights, x, y, *, epochs, learning_rate, batch_size=16):
    """Train for some passes over the data; return weights and the last pass's mean loss."""
    model, optimizer = net_of(weights), optimizers.SGD(learning_rate)
    loss_and_gradients = nn.value_and_grad(model, mean_loss)
    rng, losses = np.random.default_rng(len(x)), []
    for _ in range(epochs):
        order = rng.permutation(len(x))
        losses = []
        for start in range(0, len(x), batch_size):
            batch = order[start : start + batch_size]
            loss, gradients = loss_and_gradients(model, mx.array(x[batch]), mx.array(y[batch]))
            optimizer.update(model, gradients)
            mx.eval(model.parameters(), loss)
            losses.append(loss.item())
    return weights_of(model), float(np.mean(losses))


def test(weights, x, y):
    """Return loss and accuracy."""
    model, images, labels = net_of(weights), mx.array(x), mx.array(y)
    accuracy = mx.mean(mx.argmax(model(images), axis=1) == labels)
    return mean_loss(model, images, labels).item(), accuracy.item()
