"""Results that a legacy strategy cannot be given are failures, and the log says why."""

from typing import Any

import numpy as np
import pytest

from flwr.app import ArrayRecord, Context, Message, RecordDict
from flwr.client import ClientApp, NumPyClient
from flwr.common import ndarrays_to_parameters
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.strategy import FedAvg
from flwr.simulation import run_simulation


class ListsAsMetrics(NumPyClient):
    def fit(self, parameters: Any, config: Any) -> Any:
        return parameters, 1, {"losses": [0.5, 0.25]}


def answer_as_a_newer_app(message: Message, context: Context) -> Message:
    return Message(RecordDict({"arrays": ArrayRecord([np.zeros(2)])}), reply_to=message)


def newer_app() -> ClientApp:
    app = ClientApp()
    app.train()(answer_as_a_newer_app)
    return app


@pytest.mark.parametrize(
    ("app", "why"),
    [
        (ClientApp(lambda context: ListsAsMetrics().to_client()), "'losses' of 'fitres.metrics'"),
        (newer_app(), "KeyError('fitres."),
    ],
    ids=["lists as metrics", "records of the newer interface"],
)
def test_why_a_reply_is_no_result_is_logged(
    app: ClientApp, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    def server_fn(context: Context) -> ServerAppComponents:
        first = ndarrays_to_parameters([np.zeros(2)])
        strategy = FedAvg(fraction_evaluate=0.0, initial_parameters=first)
        return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=1))

    run_simulation(ServerApp(server_fn=server_fn), app, 2, backend_config={"debug": True})
    assert "aggregate_fit: received 0 results and 2 failures" in caplog.messages
    told = [text for text in caplog.messages if "is no result" in text]
    assert len(told) == 2
    assert all(why in text for text in told)
