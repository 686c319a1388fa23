"""The table of strategies: how each is made, and what its rule does where rules differ.

A new strategy needs one line here; every test of this folder then holds for it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
from xgb_models import as_arrays, toy_model

from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp import strategy as strategies
from flwr.serverapp.strategy import FedAvg, Strategy

NODES = 9  # enough for each rule with one node missing and one malicious

Dtypes = Mapping[str, object]
MIXED: Dtypes = {  # what models hold: weights, biases, counters, half precision, flags
    "layer.weight": np.float32,
    "layer.bias": np.float64,
    "norm.count": np.int64,
    "head.weight": np.float16,
    "head.bias": ml_dtypes.bfloat16,
    "mask": np.bool_,
}
SHAPES = {"layer.weight": (3, 2), "norm.count": (), "head.bias": ()}


@dataclass(frozen=True)
class Case:
    """A strategy and what is special about its rule.

    Attributes
    ----------
    name : str
        Its public name.
    settings : Mapping
        What its constructor needs beyond FedAvg's arguments.
    wraps : bool
        It is made around another strategy.
    weighted : bool
        A reply counts as much as its number of examples says.
    least : int
        Replies below which a round is skipped.
    nan : str
        What becomes of a NaN of one node: "spreads" to its place in the model, or is "kept out".
    turns : bool
        One node is asked a round.
    trees : bool
        Models are XGBoost's.
    from_model : bool
        The rule starts from the model that was sent out: aggregating without one is an error.
    selects : int
        Nodes whose models and metrics count, of all that are asked.
    orders : bool
        The rule puts values in order, which complex numbers have none of.
    streams : bool
        Replies are read one by one, and none is kept.
    title : str
        The heading of its own settings in the summary.
    state : int
        Models that it needs beside the sum: moments, for example.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    wraps: bool = False
    weighted: bool = True
    least: int = 1
    nan: str = "spreads"
    turns: bool = False
    trees: bool = False
    from_model: bool = False
    streams: bool = True
    title: str = ""
    state: int = 0
    selects: int = NODES
    orders: bool = False

    def __str__(self) -> str:
        return self.name

    @property
    def cls(self) -> type[Strategy]:
        """The class."""
        cls: type[Strategy] = getattr(strategies, self.name)
        return cls

    def make(self, cls: type[Strategy] | None = None, /, **arguments: Any) -> Strategy:
        """Make one, or one of a subclass, with arguments that FedAvg takes too."""
        make: Callable[..., Strategy] = cls or self.cls
        if self.wraps:
            return make(FedAvg(**arguments), **self.settings)
        if self.turns:
            for name in ("min_train_nodes", "min_evaluate_nodes"):
                arguments.pop(name, None)
        return make(**self.settings, **arguments)

    def model(self, dtypes: Dtypes = MIXED) -> ArrayRecord:
        """A global model; its values are small whole numbers, exact in every dtype."""
        if self.trees:
            return as_arrays(toy_model("start"))
        return ArrayRecord({name: Array(values_of(name, dtype)) for name, dtype in dtypes.items()})

    def trained(self, model: ArrayRecord, node: int, server_round: int) -> ArrayRecord:
        """What a node's training makes of a model."""
        if self.trees:
            return as_arrays(toy_model(f"{node}:{server_round}"))
        generator = np.random.default_rng([node, server_round])
        return ArrayRecord(
            {
                name: Array(np.asarray(_moved(array.numpy(), generator)))
                for name, array in model.items()
            }
        )

    def reply(
        self, arrays: ArrayRecord, node: int, examples: float | None = None, **metrics: Any
    ) -> RecordDict:
        """What a node answers to training, with all that any rule asks for."""
        examples = 10 * node + 5 if examples is None else examples
        own = {"train_loss": 0.5 + node / 8, "norm_bit": 0, "accuracy": node / 16}
        record = MetricRecord({"num-examples": examples, **own, **metrics})
        return RecordDict({"arrays": arrays, "metrics": record})


def values_of(name: str, dtype: object) -> np.ndarray:
    """Small whole numbers."""
    shape = SHAPES.get(name, (4,))
    values = np.arange(math.prod(shape)).reshape(shape) + 1 + len(name) % 3
    return np.asarray(values, np.dtype(dtype))


def _moved(values: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    if values.dtype.kind == "b":
        return generator.random(values.shape) < 0.5
    if values.dtype.kind in "iu":
        return (values + generator.integers(0, 9, values.shape)).astype(values.dtype)
    steps = generator.standard_normal(values.shape) / 8
    return (values.astype(np.float64) + steps).astype(values.dtype)


ROBUST: Mapping[str, Any] = {"weighted": False, "streams": False}
KRUM: Mapping[str, Any] = {"num_malicious_nodes": 1}
OPTIMISER: Mapping[str, Any] = {"title": "FedOpt settings", "from_model": True, "state": 2}
PRIVATE: Mapping[str, Any] = {
    "wraps": True, "title": "DP settings", "nan": "kept out", "from_model": True, "state": 1
}  # fmt: skip
FIXED = {"noise_multiplier": 0.0, "clipping_norm": 1e6, "num_sampled_clients": NODES}
ADAPTIVE = {"noise_multiplier": 0.0, "initial_clipping_norm": 1e6, "num_sampled_clients": NODES}
MOMENTUM = {"server_learning_rate": 0.5, "server_momentum": 0.9}

CASES = [
    Case("FedAvg"),
    Case("FedProx", {"proximal_mu": 0.1}, title="FedProx settings"),
    Case("FedAvgM", MOMENTUM, title="FedAvgM settings", from_model=True, state=1),
    Case("FedAdagrad", **OPTIMISER),
    Case("FedAdam", **OPTIMISER),
    Case("FedYogi", **OPTIMISER),
    Case(
        "QFedAvg",
        {"client_learning_rate": 0.1},
        title="q-FedAvg settings",
        weighted=False,
        from_model=True,
    ),
    Case("FedMedian", nan="kept out", orders=True, **ROBUST),
    Case("FedTrimmedAvg", title="FedTrimmedAvg settings", nan="kept out", orders=True, **ROBUST),
    Case("Krum", KRUM, title="Krum settings", nan="kept out", selects=1, **ROBUST),
    Case("MultiKrum", {**KRUM, "num_nodes_to_select": 3}, title="MultiKrum settings",
         nan="kept out", selects=3, streams=False),
    Case("Bulyan", KRUM, title="Bulyan settings", nan="kept out", least=7, selects=7, orders=True,
         **ROBUST),
    Case("FedXgbBagging", weighted=False, trees=True, from_model=True),
    Case("FedXgbCyclic", turns=True),
    Case("DifferentialPrivacyServerSideFixedClipping", FIXED, **PRIVATE),
    Case("DifferentialPrivacyServerSideAdaptiveClipping", ADAPTIVE, **PRIVATE),
    Case("DifferentialPrivacyClientSideFixedClipping", FIXED, **PRIVATE),
    Case("DifferentialPrivacyClientSideAdaptiveClipping", ADAPTIVE, **PRIVATE),
]  # fmt: skip
NUMERIC = [case for case in CASES if not case.trees]
