"""What the apps train, and on what: small, and the same wherever it runs."""

import numpy as np

TRUTH = np.array([2.0, -3.0, 0.5])
NODES = 4


def line(partition, size=40):
    """Points near a plane, each partition's its own."""
    rng = np.random.default_rng(int(partition))
    x = rng.normal(size=(size, 3))
    return x, x @ TRUTH + 1.0 + 0.1 * rng.normal(size=size)


def examples(partition):
    """Partitions have different numbers of examples."""
    return 20 + 10 * int(partition)


def descend(weights, x, y, lr=0.1, steps=3):
    """Take some steps of gradient descent from a weight vector and an offset."""
    w, b = weights
    for _ in range(steps):
        error = x @ w + b - y
        w = w - lr * (x.T @ error) / len(y)
        b = b - lr * error.mean()
    return [w, np.array(b)]


def squared_error(weights, x, y):
    w, b = weights
    return float(np.mean((x @ w + b - y) ** 2))


def zeros():
    return [np.zeros(3), np.zeros(())]


def mean_of(name):
    """Make a function that averages a metric by numbers of examples."""

    def aggregate(metrics):
        total = sum(count for count, _ in metrics)
        return {name: sum(count * values[name] for count, values in metrics) / total}

    return aggregate


def digits(partition, of=NODES):
    """A partition's handwritten digits: to train on, and to test with."""
    from sklearn.datasets import load_digits

    data = load_digits()
    x = (data.data[int(partition) :: of] / 16.0).astype(np.float32)
    y = data.target[int(partition) :: of]
    cut = len(y) * 3 // 4
    return (x[:cut], y[:cut]), (x[cut:], y[cut:])


def two_classes(partition, size=60):
    """Points of two classes, for trees."""
    rng = np.random.default_rng(100 + int(partition))
    x = rng.normal(size=(size, 4)).astype(np.float32)
    return x, (x[:, 0] * x[:, 1] + 0.5 * x[:, 2] > 0).astype(int)
