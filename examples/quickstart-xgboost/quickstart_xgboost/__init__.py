"""Federated gradient boosting with XGBoost."""
