"""``tensorboard``: a decorator that writes a strategy's evaluations for TensorBoard."""

import importlib
from collections.abc import Callable
from logging import WARNING
from pathlib import Path
from typing import Any, TypeVar

from flwr.clock import now
from flwr.compat.clients.client_proxy import ClientProxy
from flwr.compat.strategy.strategy import Strategy
from flwr.compat.typing import EvaluateRes, Scalar
from flwr.log import log, warn_deprecated_feature

AnyStrategy = TypeVar("AnyStrategy", bound=type[Strategy])


def tensorboard(logdir: str) -> Callable[[AnyStrategy], AnyStrategy]:
    """Return a decorator of strategy classes that writes what is evaluated for TensorBoard.

    Deprecated: a run's metrics are kept anyway; see ``flwr ls --run-id``.

    Parameters
    ----------
    logdir : str
        The folder; each decorated class writes into one of its own in it.

    Returns
    -------
    Callable
        Takes a class and gives a subclass whose ``aggregate_evaluate`` writes the loss
        (``server/loss_aggregated``) and each client's loss, examples and metrics (``clients/…``).
        Without TensorFlow there is a warning, and the class stays as it is.
    """
    warn_deprecated_feature("`flwr.server.utils.tensorboard`: the run's own metrics are kept.")
    try:
        tensorflow = importlib.import_module("tensorflow")
    except ImportError:
        log(
            WARNING,
            "Extra dependency required for using tensorboard are missing: the run goes on "
            "without. Install it with: pip install tensorflow",
        )
        return lambda strategy: strategy
    folder = Path(logdir) / now().strftime("%Y%m%dT%H%M%S")
    return lambda strategy: _writing(strategy, folder, tensorflow.summary)


def _writing(strategy: AnyStrategy, folder: Path, summary: Any) -> AnyStrategy:
    def aggregate_evaluate(
        self: Any,
        server_round: int,
        results: list[tuple[ClientProxy, EvaluateRes]],
        failures: list[tuple[ClientProxy, EvaluateRes] | BaseException],
    ) -> tuple[float | None, dict[str, Scalar]]:
        loss, metrics = strategy.aggregate_evaluate(self, server_round, results, failures)
        if loss is not None:
            _write(summary, folder / "server", server_round, {"server/loss_aggregated": loss})
        for client, result in results:
            values = {"loss": result.loss, "num_examples": result.num_examples, **result.metrics}
            named = {f"clients/{name}": value for name, value in values.items()}
            _write(summary, folder / "clients" / client.cid, server_round, named)
        return loss, metrics

    made: Any = type(strategy.__name__, (strategy,), {"aggregate_evaluate": aggregate_evaluate})
    return made  # type: ignore[no-any-return]  # a subclass of what was given


def _write(summary: Any, folder: Path, step: int, values: dict[str, Any]) -> None:
    writer = summary.create_file_writer(str(folder))
    with writer.as_default(step=step):
        for name, value in values.items():
            if isinstance(value, bool | int | float):
                summary.scalar(name, value, step=step)
    writer.flush()
