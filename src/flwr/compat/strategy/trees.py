"""What the strategies for XGBoost share: models that are bytes, with no loss of their own."""

from flwr.compat.strategy.fedavg import EvaluateResults, FedAvg, FitResults
from flwr.compat.typing import MetricsAggregationFn, Scalar


class TreeStrategy(FedAvg):
    """Samples and aggregates metrics as FedAvg; the distributed loss is 0."""

    def _mean_loss(self, results: EvaluateResults) -> float:
        return 0

    def _aggregated_metrics(
        self,
        phase: str,
        function: MetricsAggregationFn | None,
        server_round: int,
        results: FitResults | EvaluateResults,
    ) -> dict[str, Scalar]:
        if phase == "fit" and function is None:  # usual here, and no word upstream
            return {}
        return super()._aggregated_metrics(phase, function, server_round, results)
