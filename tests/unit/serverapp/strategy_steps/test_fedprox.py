"""FedProx: what clients are told; the formula they are shown."""

import logging

import numpy as np
import pytest
import torch
from fake_grid import FakeGrid, arrays_of
from optimised import VECTORS

from flwr.app import ConfigRecord
from flwr.serverapp.strategy import FedProx


def test_clients_are_told_mu_and_the_callers_config_is_not_changed() -> None:
    config = ConfigRecord({"lr": 0.5})
    strategy = FedProx(proximal_mu=0.25)
    grid = FakeGrid({1, 2})
    messages = list(strategy.configure_train(3, arrays_of([1.0]), config, grid))
    expected = {"lr": 0.5, "proximal-mu": 0.25, "server-round": 3}
    assert [m.content["config"] for m in messages] == [expected] * 2
    assert config == {"lr": 0.5}
    [message, _] = strategy.configure_evaluate(3, arrays_of([1.0]), config, grid)
    assert message.content["config"] == {"lr": 0.5, "server-round": 3}


def test_mu_may_change_between_rounds_and_nodes() -> None:
    class Own(FedProx):
        def configure_node(self, node_id: int, config: ConfigRecord) -> ConfigRecord:
            config["proximal-mu"] = float(config["proximal-mu"]) * node_id
            return config

    strategy = Own(proximal_mu=0.1)
    strategy.proximal_mu = 2.0
    messages = strategy.configure_train(1, arrays_of([1.0]), ConfigRecord(), FakeGrid({1, 3}))
    told = {m.metadata.dst_node_id: m.content["config"]["proximal-mu"] for m in messages}
    assert told == {1: 2.0, 3: 6.0}


def test_a_mu_of_zero_is_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    FedProx()
    FedProx(proximal_mu=0.1)
    [warning] = caplog.records
    assert warning.levelno == logging.WARNING
    assert warning.getMessage() == (
        "FedProx initialized with `proximal_mu=0.0`. This makes the strategy equivalent to FedAvg."
    )


@pytest.mark.parametrize("mu", [-0.1, np.nan, np.inf])
def test_a_mu_out_of_range_is_refused(mu: float) -> None:
    with pytest.raises(ValueError, match="proximal_mu must be 0 or more and finite"):
        FedProx(proximal_mu=mu)


def test_the_summary_begins_with_mu(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    FedProx(proximal_mu=0.1).summary()
    found = [r.getMessage() for r in caplog.records]
    assert found[:3] == [
        "\t├──> FedProx settings:",
        "\t│\t└── Proximal mu: 0.1",
        "\t├──> Sampling:",
    ]


def test_the_term_that_the_docstring_shows_is_equation_2() -> None:
    """Li et al. 2020, eq. 2: half mu times the squared norm over all parameters together."""
    vector = VECTORS["fedprox-term"]
    [case] = vector["cases"]
    mu = vector["params"]["mu"]
    parameters = [torch.tensor(p, dtype=torch.float64, requires_grad=True) for p in case["local"]]
    sent = [torch.tensor(p, dtype=torch.float64) for p in case["global_"]]
    drift = sum((p - s).square().sum() for p, s in zip(parameters, sent, strict=True))
    term = mu / 2 * drift
    term.backward()
    assert term.item() == pytest.approx(case["term"], rel=vector["rtol"])
    assert [p.grad.tolist() for p in parameters] == case["gradient"]
