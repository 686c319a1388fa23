"""Tests of the data."""

from quickstart_pytorch.dataset import load_partition, load_test_set


def test_pixels_are_from_0_to_1():
    x, y, x_held_out, y_held_out = load_partition("digits", 0, 10, alpha=0.5, seed=0)
    x_test, y_test = load_test_set("digits", seed=0)
    assert (len(x), len(x_held_out), len(x_test)) == (len(y), len(y_held_out), len(y_test))
    assert x.shape[1:] == x_held_out.shape[1:] == x_test.shape[1:] == (8, 8, 1)
    assert (x_test.min(), x_test.max()) == (0, 1)
