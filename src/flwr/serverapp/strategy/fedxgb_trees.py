"""A model of XGBoost: its trees, and what must agree before the trees of two models add up.

A model is read from what ``Booster.save_raw("json")`` gives, or the binary ``save_raw()``, which is
turned into that first. Only its outline is decoded; what lies inside the trees stays the text that
it was, so it comes out as it went in.
"""

from collections.abc import Callable
from typing import Any, Self

import msgspec

from flwr.serverapp.strategy.fedxgb_ubjson import as_json, is_ubjson

Fields = dict[str, Any]  # of a JSON object; what is not looked into is msgspec.Raw

_fields: Callable[[bytes | msgspec.Raw], Fields]
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_trees: Callable[[msgspec.Raw], list[Fields]]
_trees = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode
_numbers = msgspec.json.Decoder(list[int]).decode
_texts = msgspec.json.Decoder(dict[str, str]).decode


class TreeModel:
    """A model that is parsed once and can be extended with the trees of others.

    Parameters
    ----------
    text : bytes
        The model as JSON or UBJSON.

    Attributes
    ----------
    base_score : str
        The intercept, one value an output, as the model writes it.

    Raises
    ------
    ValueError
        If it is no such model, or its booster is not ``gbtree``.
    """

    def __init__(self, text: bytes) -> None:
        if is_ubjson(text):
            try:
                text = as_json(text)
            except ValueError as error:
                raise ValueError(f"it is not an XGBoost model in UBJSON: {error}") from error
        try:
            self._read(text)
        except KeyError as error:
            raise ValueError(f"it lacks the field {error}") from error
        except msgspec.MsgspecError as error:
            raise ValueError(f"it is not an XGBoost model in JSON: {error}") from error
        self._text: bytes | None = text

    def _read(self, text: bytes) -> None:
        self._outline = _fields(text)
        self._learner = self._outline["learner"] = _fields(self._outline["learner"])
        booster = self._learner["gradient_booster"] = _fields(self._learner["gradient_booster"])
        name = msgspec.json.decode(booster["name"], type=str)
        if name != "gbtree":
            # dart weighs trees anew when later ones are added, gblinear has none
            raise ValueError(f"its booster is '{name}'; only the trees of 'gbtree' add up")
        self._model = booster["model"] = _fields(booster["model"])
        self._counts = self._model["gbtree_model_param"] = _texts(self._model["gbtree_model_param"])
        self._trees = _trees(self._model["trees"])
        self._classes = _numbers(self._model["tree_info"])
        parameters = _texts(self._learner["learner_model_param"])
        self.base_score = parameters.get("base_score", "").strip("[]")
        self._traits = self._read_traits(parameters)
        self._starts = self._read_starts()

    def _read_traits(self, parameters: dict[str, str]) -> Fields:
        objective = _fields(self._learner.get("objective", b"{}"))
        categories = _fields(self._model.get("cats", b"{}"))
        return {
            "objective": _decoded(objective.get("name")),
            "num_class": parameters.get("num_class", "0"),
            "num_target": parameters.get("num_target", "1"),
            "num_feature": parameters.get("num_feature", "0"),
            "num_parallel_tree": self._counts.get("num_parallel_tree", "1"),
            "feature_names": _decoded(self._learner.get("feature_names")) or None,
            "categories": {key: _decoded(raw) for key, raw in categories.items()}
            if _decoded(categories.get("enc"))
            else None,
        }

    def _read_starts(self) -> list[int]:
        """Return where each boosting round begins in the list of trees, and where the last ends."""
        count = len(self._trees)
        if "iteration_indptr" in self._model:
            starts = _numbers(self._model["iteration_indptr"])
        else:  # written before xgboost 2
            outputs = max(int(self._traits["num_class"]), int(self._traits["num_target"]), 1)
            step = outputs * max(int(self._traits["num_parallel_tree"]), 1)
            starts = list(range(0, count + 1, step))
        if (
            starts[:1] != [0]
            or starts[-1] != count
            or starts != sorted(starts)
            or len(self._classes) != count
            or self._counts.get("num_trees") != str(count)
        ):
            raise ValueError(
                f"it has {count} trees, but num_trees, tree_info and iteration_indptr say otherwise"
            )
        return starts

    def difference(self, other: Self) -> str | None:
        """Say in what this model differs from another so that their trees do not add up.

        Feature names and categories are compared with the other's; a model without feature names
        fits any.

        Returns
        -------
        str or None
            "num_class 3 instead of 2", for example.
        """
        for name, value in self._traits.items():
            expected = other._traits[name]
            if value != expected and not (name == "feature_names" and None in (value, expected)):
                return f"{name} {_short(value)} instead of {_short(expected)}"
        return None

    def append(self, other: Self) -> None:
        """Add another model's trees after this one's; the other is used up.

        All but the trees stays this model's, apart from what early stopping noted: it would keep
        the trees that come after from being used.
        """
        count = len(self._trees)
        for number, tree in enumerate(other._trees, start=count):
            tree["id"] = number
            self._trees.append(tree)
        self._classes += other._classes
        self._starts += [count + start for start in other._starts[1:]]
        attributes = _fields(self._learner.get("attributes", b"{}"))
        if attributes.keys() & {"best_iteration", "best_score"}:
            for name in ("best_iteration", "best_score"):
                attributes.pop(name, None)
            self._learner["attributes"] = msgspec.Raw(msgspec.json.encode(attributes))
        self._text = None

    @property
    def text(self) -> bytes:
        """The model as JSON; if it was given so and nothing was added, the same bytes."""
        if self._text is None:
            self._counts["num_trees"] = str(len(self._trees))
            self._model["trees"] = self._trees
            self._model["tree_info"] = self._classes
            self._model["iteration_indptr"] = self._starts
            self._text = msgspec.json.encode(self._outline)
        return self._text


def _decoded(raw: msgspec.Raw | None) -> object:
    return None if raw is None else msgspec.json.decode(raw)


def _short(value: object) -> str:
    return f"{value if value is not None else 'none'}"[:100]
