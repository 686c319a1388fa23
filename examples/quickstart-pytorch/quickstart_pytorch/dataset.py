"""The images: those that come with scikit-learn, or sets of the Hugging Face Hub."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from quickstart_pytorch.partition import deal

CLASSES = 10


@dataclass(frozen=True)
class Source:
    """A set of images."""

    shape: tuple  # height, width, channels
    white: int  # the largest value
    hub: str = ""  # its name there


SOURCES = {
    "digits": Source((8, 8, 1), 16),
    "mnist": Source((28, 28, 1), 255, "ylecun/mnist"),
    "cifar10": Source((32, 32, 3), 255, "uoft-cs/cifar10"),
}


@cache
def load_split(dataset, split, seed):
    """Return the images and labels of a split, "train" or "test"."""
    if dataset == "digits":
        digits = load_digits()
        parts = train_test_split(
            digits.images, digits.target, test_size=0.2, random_state=seed, stratify=digits.target
        )
        return parts[split == "test" :: 2]
    from datasets import load_dataset

    images = load_dataset(SOURCES[dataset].hub, split=split).with_format("numpy")
    image, label = images.column_names[:2]
    return images[image], np.asarray(images[label][:])


def pixels(images, indices, source):
    """Return the images at some indices as numbers from 0 to 1."""
    chosen = np.stack([images[int(index)] for index in indices])
    return chosen.reshape(-1, *source.shape).astype(np.float32) / source.white


@cache
def load_partition(dataset, partition_id, num_partitions, alpha, seed):
    """Return one client's data: images and labels to train on, and some to evaluate on."""
    images, labels = load_split(dataset, "train", seed)
    indices = deal(labels, num_partitions, alpha, seed)[partition_id]
    x, y = pixels(images, indices, SOURCES[dataset]), labels[indices]
    held_out = len(indices) // 5
    return x[held_out:], y[held_out:], x[:held_out], y[:held_out]


def load_test_set(dataset, seed):
    """Return the images and labels that the server tests on."""
    images, labels = load_split(dataset, "test", seed)
    return pixels(images, range(len(labels)), SOURCES[dataset]), labels
