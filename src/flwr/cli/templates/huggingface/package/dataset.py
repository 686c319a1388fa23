"""The texts: a few that come with the app, or the film reviews of IMDB."""

import json
from functools import cache
from pathlib import Path

import numpy as np

from $package.partition import deal

SHIPPED = Path(__file__).with_name("reviews.jsonl")


def shipped_reviews():
    """Return the texts and labels that come with the app."""
    rows = [json.loads(line) for line in SHIPPED.read_text(encoding="utf-8").splitlines()]
    return [row["text"] for row in rows], np.array([row["label"] for row in rows])


@cache
def load_split(dataset, split, seed):
    """Return the texts and labels (0: bad, 1: good) of a split, "train" or "test"."""
    if dataset == "imdb":
        from datasets import load_dataset

        reviews = load_dataset("stanfordnlp/imdb", split=split)
        return list(reviews["text"]), np.asarray(reviews["label"])
    texts, labels = shipped_reviews()
    order = np.random.default_rng(seed).permutation(len(texts))
    held_out = len(texts) // 5
    chosen = order[:held_out] if split == "test" else order[held_out:]
    return [texts[index] for index in chosen], labels[chosen]


@cache
def load_partition(dataset, partition_id, num_partitions, alpha, seed):
    """Return one client's data: texts and labels to train on, and some to evaluate on."""
    texts, labels = load_split(dataset, "train", seed)
    indices = deal(labels, num_partitions, alpha, seed)[partition_id]
    x, y = [texts[index] for index in indices], labels[indices]
    held_out = len(indices) // 5
    return x[held_out:], y[held_out:], x[:held_out], y[:held_out]


def load_test_set(dataset, seed):
    """Return the texts and labels that the server tests on."""
    return load_split(dataset, "test", seed)
