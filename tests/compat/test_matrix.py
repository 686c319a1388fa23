"""Apps of all generations make what they make with upstream Flower, whose outputs are in data/.

Each app is one file that runs unchanged on both; `take_outputs.py` has run them on upstream.
"""

from typing import Any, NamedTuple

import pytest
from comparing import DATA, differences, made_by_upstream, put
from outcome import APPS, outcome_of
from take_outputs import NAMES


class Cell(NamedTuple):
    """Where an app stands in the matrix."""

    api: str
    framework: str
    overrides: str
    clients: str


MATRIX = {
    "start_numpy": Cell("1.0", "numpy", "nothing", "plain"),
    "start_sklearn": Cell("1.0", "sklearn", "aggregate_evaluate", "plain"),
    "start_torch": Cell("1.0", "torch", "configure_fit", "stateful"),
    "start_records": Cell("1.0", "records", "server", "failing"),
    "cid_torch": Cell("1.8", "torch", "nothing", "plain"),
    "cid_numpy_results": Cell("1.8", "numpy", "aggregate_fit", "plain"),
    "cid_numpy_server": Cell("1.8", "numpy", "server", "failing"),
    "cid_numpy_criterion": Cell("1.8", "numpy", "criterion", "plain"),
    "cid_sklearn_configs": Cell("1.8", "sklearn", "configure_fit", "plain"),
    "cid_sklearn_failing": Cell("1.8", "sklearn", "nothing", "failing"),
    "cid_records_manager": Cell("1.8", "records", "client manager", "plain"),
    "cid_xgboost": Cell("1.8", "xgboost", "nothing", "plain"),
    "components_torch_state": Cell("1.13", "torch", "nothing", "plain"),
    "components_torch_server": Cell("1.13", "torch", "server", "plain"),
    "components_torch_mods": Cell("1.13", "torch", "mods", "failing"),
    "components_numpy_custom": Cell("1.13", "numpy", "all three", "stateful"),
    "components_numpy_manager": Cell("1.13", "numpy", "client manager", "failing"),
    "components_numpy_mods": Cell("1.13", "numpy", "mods", "stateful"),
    "components_numpy_strategies": Cell("1.13", "numpy", "nothing", "stateful"),
    "components_sklearn_evaluate": Cell("1.13", "sklearn", "aggregate_evaluate", "stateful"),
    "components_xgboost_cyclic": Cell("1.13", "xgboost", "configure_fit", "plain"),
    "components_records_criterion": Cell("1.13", "records", "criterion", "stateful"),
    "records_numpy_driver": Cell("1.18", "numpy", "nothing", "plain"),
    "records_numpy_workflow": Cell("1.18", "numpy", "workflow", "stateful"),
    "records_numpy_bridge": Cell("1.18", "numpy", "aggregate_evaluate", "plain"),
    "records_torch_workflow": Cell("1.18", "torch", "workflow", "plain"),
    "records_sklearn_mods": Cell("1.18", "sklearn", "mods", "plain"),
    "records_xgboost_state": Cell("1.18", "xgboost", "nothing", "stateful"),
    "records_records_query": Cell("1.18", "records", "nothing", "failing"),
    "message_numpy": Cell("1.41", "numpy", "nothing", "plain"),
    "message_numpy_mods": Cell("1.41", "numpy", "mods", "failing"),
    "message_numpy_strategies": Cell("1.41", "numpy", "nothing", "stateful"),
    "message_torch_state": Cell("1.41", "torch", "aggregate_fit", "stateful"),
    "message_torch_evaluate": Cell("1.41", "torch", "aggregate_evaluate", "failing"),
    "message_sklearn": Cell("1.41", "sklearn", "configure_fit", "plain"),
    "message_xgboost": Cell("1.41", "xgboost", "nothing", "plain"),
    "message_records_grid": Cell("1.41", "records", "nothing", "failing"),
}

# What this implementation makes instead, on purpose, by the place in the outcome.
INSTEAD: dict[str, dict[str, Any]] = {
    # The mean of whole numbers is one of them; upstream makes zeros of them.
    "components_torch_state": {"kept/norm.num_batches_tracked/values": [6]},
    # Adaptive steps keep the dtype of the model.
    "components_torch_server": {f"kept/arrays/{place}/dtype": "float32" for place in range(4)},
    # Bulyan's selection is the paper's.
    "message_numpy_strategies": {"log/504": "\t│\t└── Selection rule: select_repeated_krum"},
}

# Sums in another order; PyTorch's float32 sums depend on the number of threads as well.
TOLERANCE = {"numpy": 1e-9, "sklearn": 1e-4, "torch": 1e-3, "xgboost": 1e-5, "records": 1e-9}
OVER_GRPC = 1e-6  # upstream's start_server sends a loss as float32


def test_no_two_apps_are_in_one_cell() -> None:
    assert len(set(MATRIX.values())) == len(MATRIX) >= 25
    assert sorted(MATRIX) == NAMES
    assert {path.stem for path in DATA.iterdir()} == set(NAMES)


@pytest.mark.parametrize("name", sorted(MATRIX))
def test_an_app_makes_what_it_makes_with_upstream(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(APPS))
    theirs = made_by_upstream(name)
    for place, value in INSTEAD.get(name, {}).items():
        put(theirs, place, value)
    within = TOLERANCE[MATRIX[name].framework]
    if MATRIX[name].api == "1.0":
        within = max(within, OVER_GRPC)
    assert differences(outcome_of(name), theirs, within) == []
