"""`FedXgbCyclic` of the legacy API."""

from collections.abc import Mapping
from typing import Any, TypeVar

from flwr.compat.clients.client_manager import ClientManager
from flwr.compat.clients.client_proxy import ClientProxy
from flwr.compat.strategy.fedavg import FitResults
from flwr.compat.strategy.trees import TreeStrategy
from flwr.compat.typing import EvaluateIns, FitIns, Parameters

Ins = TypeVar("Ins")


class FedXgbCyclic(TreeStrategy):
    """XGBoost in turns: one client a round boosts the model and hands on the whole of it.

    Of the clients that are drawn in round ``r``, all by default, that with place ``(r - 1) mod n``
    is asked, in the order in which they were first drawn. Its model, the last tensor of its
    parameters, becomes the global one as it is.

    Parameters
    ----------
    **kwargs
        The arguments of :class:`FedAvg`.

    Attributes
    ----------
    global_model : bytes or None
        What was made of the last round.

    Notes
    -----
    The distributed loss is 0.
    """

    def __init__(self, **kwargs: Any) -> None:
        self.global_model: bytes | None = None
        self._client_order: dict[str, int] = {}  # the place of each client, by cid
        super().__init__(**kwargs)

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        """Ask the client whose turn it is to train."""
        pairs = super().configure_fit(server_round, parameters, client_manager)
        return self._turn(server_round, pairs)

    def configure_evaluate(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, EvaluateIns]]:
        """Ask the client whose turn it is to evaluate."""
        pairs = super().configure_evaluate(server_round, parameters, client_manager)
        return self._turn(server_round, pairs)

    def state_dict(self) -> dict[str, Any]:
        """Return what the rounds to come depend on: the order of the clients."""
        return {"client_order": list(self._client_order)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what `state_dict` gave."""
        self._client_order = {cid: place for place, cid in enumerate(state["client_order"])}

    def _turn(
        self, server_round: int, pairs: list[tuple[ClientProxy, Ins]]
    ) -> list[tuple[ClientProxy, Ins]]:
        if not pairs:
            return []
        for client, _ in pairs:
            self._client_order.setdefault(client.cid, len(self._client_order))
        pairs = sorted(pairs, key=lambda pair: self._client_order[pair[0].cid])
        return [pairs[(server_round - 1) % len(pairs)]]

    def _model_of_results(self, server_round: int, results: FitResults) -> Parameters | None:
        tensors = [tensor for _, result in results for tensor in result.parameters.tensors]
        if not tensors:
            return None
        self.global_model = tensors[-1]
        return Parameters(tensor_type="", tensors=[self.global_model])
