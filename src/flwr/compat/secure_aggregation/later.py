"""What is not there yet, said in one place."""

from typing import NoReturn


def refuse(name: str) -> NoReturn:
    """Say that something of secure aggregation is not there yet.

    Raises
    ------
    NotImplementedError
        Always.
    """
    raise NotImplementedError(
        f"{name}: Secure aggregation is not there yet: it comes with a later version. Until then, "
        "use the differential privacy wrappers of flwr.serverapp.strategy, or aggregate without "
        "masks."
    )
