"""`nan_policy`: what becomes of models that are not finite, in both interfaces."""

from typing import Any

import numpy as np
import pytest
from fake_grid import content, replies

from flwr.app import ArrayRecord
from flwr.common import Code, FitRes, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.server import strategy as legacy
from flwr.serverapp import strategy
from flwr.serverapp.exception import AggregationError

GOOD = [np.full(3, 2, np.float32), np.ones(2, np.int64)]
NAN = [np.array([1, np.nan, 1], np.float32), np.ones(2, np.int64)]
INF = [np.array([1, 1, -np.inf], np.float32), np.ones(2, np.int64)]


class Client:
    def __init__(self, number: int) -> None:
        self.cid, self.node_id = f"c{number}", number


def aggregate(made: Any, models: list[list[np.ndarray]]) -> tuple[Any, Any]:
    answers = [content(ArrayRecord(model), 1, loss=float(n)) for n, model in enumerate(models)]
    return made.aggregate_train(1, replies(*answers))  # type: ignore[no-any-return]


def aggregate_legacy(made: Any, models: list[list[np.ndarray]]) -> tuple[Any, Any]:
    results = [
        (Client(n + 1), FitRes(Status(Code.OK, ""), ndarrays_to_parameters(model), 1, {}))
        for n, model in enumerate(models)
    ]
    parameters, metrics = made.aggregate_fit(1, results, [])
    return parameters and ArrayRecord(parameters_to_ndarrays(parameters)), metrics


BOTH = [(strategy, aggregate), (legacy, aggregate_legacy)]


@pytest.mark.parametrize(("room", "run"), BOTH)
@pytest.mark.parametrize("bad", [NAN, INF])
@pytest.mark.parametrize("rule", ["FedAvg", "FedProx", "FedMedian", "Krum"])
def test_clients_are_dropped(room: Any, run: Any, bad: Any, rule: str) -> None:
    settings = {"proximal_mu": 0.1} if rule == "FedProx" else {}
    made = getattr(room, rule)(**settings)
    made.nan_policy = "drop_client"
    arrays, _ = run(made, [GOOD, bad, GOOD])
    assert arrays.to_numpy_ndarrays()[0].tolist() == [2, 2, 2]
    assert run(made, [bad, bad])[0] is None


def test_metrics_of_a_dropped_client_do_not_count() -> None:
    made = strategy.FedAvg()
    made.nan_policy = "drop_client"
    assert aggregate(made, [GOOD, NAN])[1] == {"loss": 0.0}


def test_a_dropped_client_is_a_failure() -> None:
    made = legacy.FedAvg(accept_failures=False)
    made.nan_policy = "drop_client"
    assert aggregate_legacy(made, [GOOD, NAN]) == (None, {})


@pytest.mark.parametrize(("room", "run"), BOTH)
def test_an_error_names_client_and_array(room: Any, run: Any) -> None:
    made = room.FedAvg()
    made.nan_policy = "raise"
    run(made, [GOOD, GOOD])
    with pytest.raises(AggregationError, match=r"array '?0'? of (node|client c)\s?2 is not finite"):
        run(made, [GOOD, NAN])


@pytest.mark.parametrize(("room", "run"), BOTH)
def test_a_nan_spreads_by_default_and_other_words_are_refused(room: Any, run: Any) -> None:
    made = room.FedAvg()
    assert made.nan_policy == "propagate"
    assert np.isnan(run(made, [GOOD, NAN])[0].to_numpy_ndarrays()[0][1])
    with pytest.raises(ValueError, match="nan_policy must be one of 'propagate', 'drop_client'"):
        made.nan_policy = "drop"
