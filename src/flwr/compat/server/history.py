"""`History`: the losses and metrics of a legacy run, by round."""

from pprint import pformat

from flwr.compat.typing import Scalar

Series = dict[str, list[tuple[int, Scalar]]]


class History:
    """Losses and metrics that were measured in each round.

    Attributes
    ----------
    losses_distributed, losses_centralized : list of (round, loss)
        Measured by clients, and by the server.
    metrics_distributed_fit, metrics_distributed, metrics_centralized : dict
        For each name the list of (round, value): of clients' training, of their evaluation, and
        of the server's.
    """

    def __init__(self) -> None:
        self.losses_distributed: list[tuple[int, float]] = []
        self.losses_centralized: list[tuple[int, float]] = []
        self.metrics_distributed_fit: Series = {}
        self.metrics_distributed: Series = {}
        self.metrics_centralized: Series = {}

    def add_loss_distributed(self, server_round: int, loss: float) -> None:
        """Add one loss that clients measured."""
        self.losses_distributed.append((server_round, loss))

    def add_loss_centralized(self, server_round: int, loss: float) -> None:
        """Add one loss that the server measured."""
        self.losses_centralized.append((server_round, loss))

    def add_metrics_distributed_fit(self, server_round: int, metrics: dict[str, Scalar]) -> None:
        """Add metrics of clients' training."""
        _add(self.metrics_distributed_fit, server_round, metrics)

    def add_metrics_distributed(self, server_round: int, metrics: dict[str, Scalar]) -> None:
        """Add metrics of clients' evaluation."""
        _add(self.metrics_distributed, server_round, metrics)

    def add_metrics_centralized(self, server_round: int, metrics: dict[str, Scalar]) -> None:
        """Add metrics that the server measured."""
        _add(self.metrics_centralized, server_round, metrics)

    def __repr__(self) -> str:
        losses = {
            "loss, distributed": self.losses_distributed,
            "loss, centralized": self.losses_centralized,
        }
        metrics = {
            "metrics, distributed, fit": self.metrics_distributed_fit,
            "metrics, distributed, evaluate": self.metrics_distributed,
            "metrics, centralized": self.metrics_centralized,
        }
        blocks = [
            (title, "".join(f"\tround {number}: {loss}\n" for number, loss in pairs))
            for title, pairs in losses.items()
            if pairs
        ]
        blocks += [(title, f"{pformat(series)}\n") for title, series in metrics.items() if series]
        text = "".join(f"History ({title}):\n{text}" for title, text in blocks)
        return text[:-1] if self.metrics_centralized else text


def _add(series: Series, server_round: int, metrics: dict[str, Scalar]) -> None:
    for name, value in metrics.items():
        series.setdefault(name, []).append((server_round, value))
