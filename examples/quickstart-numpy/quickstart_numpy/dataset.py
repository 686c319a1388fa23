"""The images, and how they are dealt to the clients."""

from functools import cache

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

DIGITS = 10
FEWEST = 5  # images of a client


@cache
def load_data(seed):
    """Return training images and labels, test images and labels; pixels are from 0 to 1."""
    images, labels = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(
        images.astype(np.float32) / 16, labels, test_size=0.2, random_state=seed, stratify=labels
    )
    return x_train, y_train, x_test, y_test


@cache
def partitions(num_partitions, alpha, seed):
    """Deal the training images: for each partition, the indices of its images.

    Each digit is spread over the partitions by a Dirichlet distribution.
    """
    rng = np.random.default_rng(seed)
    labels = load_data(seed)[1]
    if num_partitions * FEWEST > len(labels):
        raise ValueError(f"{len(labels)} images are not enough for {num_partitions} clients")
    parts = [[] for _ in range(num_partitions)]
    for digit in range(DIGITS):
        of_digit = rng.permutation(np.flatnonzero(labels == digit))
        shares = rng.dirichlet([alpha] * num_partitions)
        cuts = (np.cumsum(shares)[:-1] * len(of_digit)).astype(int)
        for part, indices in zip(parts, np.split(of_digit, cuts), strict=True):
            part.extend(indices)
    for part in parts:
        while len(part) < FEWEST:
            part.append(max(parts, key=len).pop())
    return [rng.permutation(part).astype(int) for part in parts]


def load_partition(partition_id, num_partitions, alpha, seed):
    """Return one client's data: images and labels to train on, and some to evaluate on."""
    x, y = load_data(seed)[:2]
    indices = partitions(num_partitions, alpha, seed)[partition_id]
    held_out = len(indices) // 5
    train, test = indices[held_out:], indices[:held_out]
    return x[train], y[train], x[test], y[test]
