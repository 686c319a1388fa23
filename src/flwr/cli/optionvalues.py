"""What values of the servers' options may be; the errors are for ``argparse``."""

import argparse


def seconds(text: str) -> float:
    """Read a time of 0 or more; ``inf`` is without end."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not number >= 0:  # nan is neither
        raise argparse.ArgumentTypeError(f"must be seconds, 0 or more, not {text!r}")
    return number


def count(text: str) -> int:
    """Read a whole number of 0 or more."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"must be a whole number of 0 or more, not {text!r}")
    return int(text)


def positive(text: str) -> int:
    """Read a whole number of 1 or more."""
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"must be a whole number of 1 or more, not {text!r}")
    return int(text)


def port(text: str) -> int:
    """Read a port; 0 lets the system choose."""
    if not (text.isascii() and text.isdigit() and int(text) < 1 << 16):
        raise argparse.ArgumentTypeError(f"must be a port, 0 to 65535, not {text!r}")
    return int(text)
