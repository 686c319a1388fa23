"""The lines that tell what a strategy is about to do."""

from logging import INFO

from flwr.app import ArrayRecord, ConfigRecord
from flwr.log import log


def log_strategy_start_info(
    num_rounds: int,
    arrays: ArrayRecord,
    train_config: ConfigRecord | None,
    evaluate_config: ConfigRecord | None,
) -> None:
    """Log the rounds, the size of the model and the configs of a run that starts.

    Parameters
    ----------
    num_rounds : int
        How many rounds there will be.
    arrays : ArrayRecord
        The initial model.
    train_config, evaluate_config : ConfigRecord or None
        What is sent to the nodes with the model.
    """
    log(INFO, "\t├── Number of rounds: %s", num_rounds)
    log(INFO, "\t├── ArrayRecord (%.2f MB)", megabytes(arrays))
    log(INFO, "\t├── ConfigRecord (train): %s", config_to_str(train_config))
    log(INFO, "\t├── ConfigRecord (evaluate): %s", config_to_str(evaluate_config))


def config_to_str(config: ConfigRecord | None) -> str:
    """Return a config on one line; bytes are not printed, an empty one says so."""
    if not config:
        return "(empty!)"
    entries = (
        f"'{key}': {'<bytes>' if isinstance(value, bytes) else value}"
        for key, value in config.items()
    )
    return "{" + ", ".join(entries) + "}"


def megabytes(arrays: ArrayRecord) -> float:
    """Return the size of the arrays' data in MB of 2**20 bytes."""
    return (arrays.count_bytes() - sum(map(len, arrays))) / 2**20  # names are counted there
