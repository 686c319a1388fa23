"""The trees, training and testing, with XGBoost: nothing here is federated."""

import numpy as np
import xgboost as xgb
from sklearn.metrics import log_loss, roc_auc_score


def matrix(table):
    """Return a table as XGBoost takes it."""
    features, target = table.drop(columns="target"), table["target"]
    return xgb.DMatrix(features, target, enable_categorical=True)


def booster_of(model):
    """Return the trees in an array of bytes; None if it is empty."""
    return xgb.Booster(model_file=bytearray(model.tobytes())) if model.size else None


def train(model, table, *, trees, learning_rate, max_depth):
    """Grow more trees on top of the common ones; return the new ones only."""
    settings = {
        "objective": "binary:logistic",
        "eta": learning_rate,
        "max_depth": max_depth,
        "base_score": 0.5,
        "nthread": 1,
    }
    booster = xgb.train(settings, matrix(table), trees, xgb_model=booster_of(model))
    grown = booster.num_boosted_rounds()
    return np.frombuffer(booster[grown - trees : grown].save_raw("json"), np.uint8)


def test(model, table):
    """Return loss, accuracy and the area under the ROC curve."""
    target, booster = table["target"], booster_of(model)
    unknown = np.full(len(target), 0.5)
    probabilities = booster.predict(matrix(table)) if booster else unknown
    accuracy = float(((probabilities > 0.5) == target).mean())
    # With one class only there is no curve: nothing is known.
    auc = float(roc_auc_score(target, probabilities)) if target.nunique() == 2 else 0.5
    return float(log_loss(target, probabilities, labels=[0, 1])), accuracy, auc
