"""Models with the fields that merging touches, as XGBoost writes them."""

import json
from typing import Any

import numpy as np

from flwr.app import ArrayRecord


def toy_model(
    *tags: str,
    classes: list[int] | None = None,
    starts: list[int] | None = None,
    parallel: int = 1,
    num_class: int = 0,
    booster: str = "gbtree",
    **learner: Any,
) -> dict[str, Any]:
    """Trees with a tag each; one boosting round a tree unless `starts` says otherwise."""
    starts = list(range(len(tags) + 1)) if starts is None else starts
    model = {
        "gbtree_model_param": {"num_trees": str(len(tags)), "num_parallel_tree": str(parallel)},
        "iteration_indptr": starts,
        "tree_info": classes or [0] * len(tags),
        "trees": [{"id": number, "tag": tag} for number, tag in enumerate(tags)],
    }
    return {
        "learner": {
            "gradient_booster": {"model": model, "name": booster},
            "learner_model_param": {"num_class": str(num_class), "base_score": "[5E-1]"},
            **learner,
        },
        "version": [3, 2, 0],
    }


def encode(model: dict[str, Any] | None) -> bytes:
    return b"" if model is None else json.dumps(model, separators=(",", ":")).encode()


def as_arrays(model: dict[str, Any] | bytes | None) -> ArrayRecord:
    text = model if isinstance(model, bytes) else encode(model)
    return ArrayRecord([np.frombuffer(text, np.uint8)])


def as_text(arrays: ArrayRecord) -> bytes:
    [array] = arrays.to_numpy_ndarrays()
    assert array.dtype == np.uint8
    return array.tobytes()


def tags(arrays: ArrayRecord) -> list[str]:
    """The tags of a model's trees; their ids are checked."""
    trees = json.loads(as_text(arrays))["learner"]["gradient_booster"]["model"]["trees"]
    assert [tree["id"] for tree in trees] == list(range(len(trees)))
    return [tree["tag"] for tree in trees]
