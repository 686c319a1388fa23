"""The model, training and testing, with fastai: nothing here is federated."""

import torch
from fastai.vision.all import CrossEntropyLossFlat, DataLoaders, Learner, SimpleCNN, accuracy
from torch.utils.data import TensorDataset

from $package.dataset import CLASSES, SOURCES


def new_model(config):
    """Return a network that is not yet trained."""
    channels = SOURCES[config["dataset"]].shape[-1]
    return SimpleCNN([channels, 16, 32, CLASSES])


def learner_of(model, train_on, test_on, batch_size):
    """Return fastai's loop for a model: data to train and to test on are images and labels."""
    sets = [
        TensorDataset(torch.from_numpy(x).permute(0, 3, 1, 2), torch.from_numpy(y))
        for x, y in (train_on, test_on)
    ]
    data = DataLoaders.from_dsets(*sets, bs=batch_size)
    return Learner(data, model, loss_func=CrossEntropyLossFlat(), metrics=accuracy)


def train(model, x, y, *, epochs, learning_rate, batch_size=16):
    """Train for some passes over the data; return the last one's mean loss."""
    learner = learner_of(model, (x, y), (x, y), batch_size)
    with learner.no_bar(), learner.no_logging():
        learner.fit_one_cycle(epochs, learning_rate)
    return learner.recorder.values[-1][0]


def test(model, x, y):
    """Return loss and accuracy."""
    learner = learner_of(model, (x, y), (x, y), batch_size=256)
    with learner.no_bar():
        loss, correct = learner.validate()
    return float(loss), float(correct)
