"""A legacy strategy and its twin of the Message API make the same model, bit for bit."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from legacy_rounds import client, fit_res, model_of, round_of

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict, memory
from flwr.clientapp import ClientApp
from flwr.compat import bridge
from flwr.compat.typing import Parameters
from flwr.server import strategy as legacy
from flwr.serverapp import strategy as message
from flwr.testing import federation

CLIENTS = 40  # more than a group of sums
ROUNDS = 3
START = model_of([0.0])
DTYPES = {"weight": np.float32, "bias": np.float64, "half": np.float16, "count": np.int64,
          "small": np.int32, "flag": np.bool_}  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """A strategy of each API, of the same name and with the same settings."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    legacy_only: Mapping[str, Any] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)  # legacy name -> name of the twin
    twin: str = ""
    wraps: bool = False
    metrics: Callable[[int], dict[str, Any]] = lambda _: {}

    def __str__(self) -> str:
        return f"{self.name}-{self.twin}" if self.twin else self.name

    def old(self) -> legacy.Strategy:
        """The legacy strategy."""
        cls = getattr(legacy, self.name)
        around = [legacy.FedAvg()] if self.wraps else []
        made: legacy.Strategy = cls(*around, **self.settings, **self.legacy_only)
        return made

    def new(self) -> message.Strategy:
        """Its twin."""
        cls = getattr(message, self.twin or self.name)
        settings = {self.renamed.get(name, name): value for name, value in self.settings.items()}
        around = [message.FedAvg()] if self.wraps else []
        made: message.Strategy = cls(*around, **settings)
        return made


FIRST = {"initial_parameters": START}
KRUM = {
    "num_malicious_clients": "num_malicious_nodes",
    "num_clients_to_keep": "num_nodes_to_select",
}
FIXED = {"noise_multiplier": 0.0, "clipping_norm": 2.0, "num_sampled_clients": CLIENTS}
ADAPTIVE = {"noise_multiplier": 0.0, "initial_clipping_norm": 2.0, "num_sampled_clients": CLIENTS}
Q = {"q_param": "q", "qffl_learning_rate": "client_learning_rate"}


def bit(number: int) -> dict[str, Any]:
    return {"norm_bit": number % 2}


PAIRS = [
    Pair("FedAvg"),
    Pair("FedProx", {"proximal_mu": 0.1}),
    Pair("FedAvgM", {"server_learning_rate": 0.5, "server_momentum": 0.9}),
    Pair("FedAvgM", {"server_learning_rate": 0.5}),
    Pair("FedAdagrad", {"eta": 0.2, "tau": 0.01}, FIRST),
    Pair("FedAdam", {"eta": 0.2, "tau": 0.01, "v_init": 1e-4}, FIRST),
    Pair("FedAdam", {"bias_correction": "adam", "tau": 0.01}, FIRST),
    Pair("FedYogi", {"beta_1": 0.8}, FIRST),
    Pair("FedMedian"),
    Pair("FedTrimmedAvg", {"beta": 0.1}),
    Pair("Krum", {"num_malicious_clients": 3}, renamed=KRUM),
    Pair("Krum", {"num_malicious_clients": 3, "num_clients_to_keep": 5}, renamed=KRUM,
         twin="MultiKrum"),
    Pair("Bulyan", {"num_malicious_clients": 2}, renamed=KRUM),
    Pair("QFedAvg", {"q_param": 0.5, "qffl_learning_rate": 0.3}, renamed=Q,
         metrics=lambda number: {"train_loss": number / 8}),
    Pair("DifferentialPrivacyServerSideFixedClipping", FIXED, wraps=True),
    Pair("DifferentialPrivacyClientSideFixedClipping", FIXED, wraps=True),
    Pair("DifferentialPrivacyServerSideAdaptiveClipping", ADAPTIVE, wraps=True, metrics=bit),
    Pair("DifferentialPrivacyClientSideAdaptiveClipping", ADAPTIVE, wraps=True, metrics=bit),
]  # fmt: skip


def start() -> ArrayRecord:
    generator = np.random.default_rng(0)
    return ArrayRecord([np.asarray(generator.normal(size=(3, 50)) * 9, dtype=dtype)
                        for dtype in DTYPES.values()])  # fmt: skip


def trained_from(model: ArrayRecord, number: int, server_round: int) -> ArrayRecord:
    generator = np.random.default_rng([number, server_round])
    return ArrayRecord(
        [
            np.asarray(values + generator.normal(size=values.shape), dtype=values.dtype)
            for values in model.to_numpy_ndarrays()
        ]
    )


def bits(record: ArrayRecord) -> list[tuple[str, bytes]]:
    return [(array.dtype.str, array.tobytes()) for array in memory.views(record)]


def as_record(parameters: Parameters | None) -> ArrayRecord:
    assert parameters is not None
    return bridge.record_of(parameters)


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_models_are_the_same_bits_in_all_rounds(pair: Pair) -> None:
    old, new = pair.old(), pair.new()
    model = start()
    with federation(ClientApp(), nodes=CLIENTS) as grid:
        for server_round in range(1, ROUNDS + 1):
            asked = list(new.configure_train(server_round, model, ConfigRecord(), grid))
            asked.sort(key=lambda ask: ask.metadata.dst_node_id)
            results, replies = [], []
            for number, ask in enumerate(asked, start=1):
                arrays = trained_from(model, number, server_round)
                examples, metrics = 10 * number, pair.metrics(number)
                parameters = bridge.arrayrecord_to_parameters(arrays, keep_input=True)
                results.append((client(number), fit_res(parameters, examples, **metrics)))
                record = MetricRecord({"num-examples": examples, **metrics})
                content = RecordDict({"arrays": arrays, "metrics": record})
                replies.append(Message(content, reply_to=ask))
            sent = bridge.arrayrecord_to_parameters(model, keep_input=True)
            parameters, _ = round_of(old, sent, results, server_round)
            expected, _ = new.aggregate_train(server_round, replies)
            assert expected is not None
            assert bits(as_record(parameters)) == bits(expected)
            assert getattr(old, "clipping_norm", 0) == getattr(new, "clipping_norm", 0)
            model = expected


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_serialised_models_come_to_the_same(pair: Pair) -> None:
    """Results whose tensors were read, or that came as bytes, hold no record any more."""
    made = []
    for serialise in (False, True):
        model, results = start(), []
        for number in range(1, CLIENTS + 1):
            parameters = bridge.arrayrecord_to_parameters(
                trained_from(model, number, 1), keep_input=True
            )
            if serialise:
                parameters = Parameters(list(parameters.tensors), parameters.tensor_type)
            metrics = pair.metrics(number)
            results.append((client(number), fit_res(parameters, number, **metrics)))
        sent = bridge.arrayrecord_to_parameters(model, keep_input=True)
        parameters, _ = round_of(pair.old(), sent, results)
        made.append(bits(as_record(parameters)))
    assert made[0] == made[1]


def test_replies_that_stream_are_summed_in_the_order_in_which_legacy_results_are() -> None:
    """Both APIs keep the order of the instructions."""
    model = start()
    with federation(ClientApp(), nodes=CLIENTS) as grid:
        new = message.FedAvg()
        asked = list(new.configure_train(1, model, ConfigRecord(), grid))
        answers = {a.metadata.dst_node_id: trained_from(model, n, 1) for n, a in enumerate(asked)}
        replies = [
            Message(
                RecordDict({"a": answers[ask.metadata.dst_node_id],
                            "m": MetricRecord({"num-examples": 1})}),
                reply_to=ask,
            )
            for ask in asked
        ]  # fmt: skip
        expected, _ = new.aggregate_train(1, iter(replies))
    results = [
        (client(node), fit_res(bridge.arrayrecord_to_parameters(arrays, keep_input=True)))
        for node, arrays in answers.items()
    ]
    parameters, _ = legacy.FedAvg().aggregate_fit(1, results, [])
    assert expected is not None
    assert bits(as_record(parameters)) == bits(expected)
