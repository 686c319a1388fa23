"""`Client` and `NumPyClient`: what they answer, and what they refuse to send."""

import numpy as np
import pytest

from flwr.app import ConfigRecord
from flwr.compat.client import client as clients
from flwr.compat.client import numpy_client as numpy_clients
from flwr.compat.client.client import Client
from flwr.compat.client.numpy_client import NumPyClient
from flwr.compat.parameters import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.compat.typing import (
    Code,
    EvaluateIns,
    EvaluateRes,
    FitIns,
    FitRes,
    GetParametersIns,
    GetParametersRes,
    GetPropertiesIns,
    GetPropertiesRes,
    Parameters,
    Status,
)

FIT = FitIns(ndarrays_to_parameters([np.zeros(2)]), {"lr": 0.1})
EVALUATE = EvaluateIns(ndarrays_to_parameters([np.zeros(2)]), {})
NOT_THERE = "Client does not implement `{}`"


class Returning(NumPyClient):
    """Returns what it was told to."""

    def __init__(self, result: object) -> None:
        self.result = result

    def fit(self, parameters, config):
        return self.result

    def evaluate(self, parameters, config):
        return self.result

    def get_parameters(self, config):
        return self.result

    def get_properties(self, config):
        return self.result


@pytest.mark.parametrize("client", [Client(), NumPyClient().to_client()])
def test_what_a_class_does_not_implement_it_says_so(client: Client) -> None:
    assert client.fit(FIT) == FitRes(
        Status(Code.FIT_NOT_IMPLEMENTED, NOT_THERE.format("fit")), Parameters([], ""), 0, {}
    )
    assert client.evaluate(EVALUATE) == EvaluateRes(
        Status(Code.EVALUATE_NOT_IMPLEMENTED, NOT_THERE.format("evaluate")), 0.0, 0, {}
    )
    assert client.get_parameters(GetParametersIns({})) == GetParametersRes(
        Status(Code.GET_PARAMETERS_NOT_IMPLEMENTED, NOT_THERE.format("get_parameters")),
        Parameters([], ""),
    )
    assert client.get_properties(GetPropertiesIns({})) == GetPropertiesRes(
        Status(Code.GET_PROPERTIES_NOT_IMPLEMENTED, NOT_THERE.format("get_properties")), {}
    )


def test_a_client_is_its_own_client() -> None:
    client = Client()
    assert client.to_client() is client


def test_a_plain_numpy_client_returns_nothing_much() -> None:
    client = NumPyClient()
    assert client.get_properties({}) == {}
    assert client.get_parameters({}) == []
    assert client.fit([], {}) == ([], 0, {})
    assert client.evaluate([], {}) == (0.0, 0, {})


def test_the_helpers_tell_what_a_class_overrides() -> None:
    class Half(Client):
        def fit(self, ins):
            return FitRes(clients.success(), ins.parameters, 3, {})

    half = Half()
    assert clients.has_fit(half)
    assert not clients.has_evaluate(half)
    assert not clients.has_get_parameters(half)
    assert not clients.has_get_properties(half)
    assert clients.maybe_call_fit(half, FIT).num_examples == 3
    assert clients.maybe_call_evaluate(half, EVALUATE).status.code is Code.EVALUATE_NOT_IMPLEMENTED
    unknown = clients.maybe_call_get_parameters(half, GetParametersIns({}))
    assert unknown.status.code is Code.GET_PARAMETERS_NOT_IMPLEMENTED
    unknown = clients.maybe_call_get_properties(half, GetPropertiesIns({}))
    assert unknown.status.code is Code.GET_PROPERTIES_NOT_IMPLEMENTED
    assert numpy_clients.has_fit(Returning(None))
    assert numpy_clients.has_evaluate(Returning(None))
    assert numpy_clients.has_get_parameters(Returning(None))
    assert numpy_clients.has_get_properties(Returning(None))
    assert not numpy_clients.has_fit(NumPyClient())


def test_the_wrapper_holds_the_numpy_client_and_implements_what_it_does() -> None:
    class Trains(NumPyClient):
        def fit(self, parameters, config):
            parameters[0] += config["lr"]
            return parameters, 5, {"seen": True}

    numpy_client = Trains()
    client = numpy_client.to_client()
    assert isinstance(client, Client)
    assert client.numpy_client is numpy_client
    assert clients.has_fit(client)
    assert not clients.has_evaluate(client)
    result = client.fit(FIT)
    assert result.status == Status(Code.OK, "Success")
    assert (result.num_examples, result.metrics) == (5, {"seen": True})
    np.testing.assert_allclose(parameters_to_ndarrays(result.parameters)[0], [0.1, 0.1])
    np.testing.assert_array_equal(parameters_to_ndarrays(FIT.parameters)[0], [0, 0])


@pytest.mark.parametrize("as_a", [tuple, list])
def test_numbers_of_numpy_are_taken_as_numbers(as_a: type) -> None:
    fit = as_a([[np.ones(1)], np.int64(3), {"a": np.float32(0.5), "b": np.bool_(True)}])
    result = Returning(fit).to_client().fit(FIT)
    assert (result.num_examples, result.metrics) == (3, {"a": 0.5, "b": True})
    assert [type(value) for value in (result.num_examples, *result.metrics.values())] == [
        int,
        float,
        bool,
    ]
    evaluate = as_a([np.array(2, np.float32), np.array(3), {"a": np.array(1)}])
    result = Returning(evaluate).to_client().evaluate(EVALUATE)
    assert (result.loss, result.num_examples, result.metrics) == (2.0, 3, {"a": 1})
    assert type(result.loss) is float
    assert type(result.metrics["a"]) is int
    ConfigRecord(result.metrics)  # is accepted
    assert Returning((1, 3, {})).to_client().evaluate(EVALUATE).loss == 1.0
    assert np.isnan(Returning((np.nan, 3, {})).to_client().evaluate(EVALUATE).loss)


@pytest.mark.parametrize(
    ("result", "which"),
    [
        (None, "It returned a NoneType"),
        (([], 3), "It returned 2 elements"),
        ((np.ones(1), 3, {}), "Element 0 is a ndarray, not a list"),
        (([], 3.0, {}), "Element 1, the number of examples, is a float"),
        (([], 3, None), "Element 2, the metrics, is a NoneType, not a dict"),
    ],
)
def test_fit_must_return_a_list_a_number_and_metrics(result: object, which: str) -> None:
    with pytest.raises(TypeError, match="fit did not return a tuple with 3 elements") as caught:
        Returning(result).to_client().fit(FIT)
    assert which in str(caught.value)
    assert "In class Returning" in str(caught.value)


@pytest.mark.parametrize(
    ("result", "which"),
    [
        ("abc", "It returned a str"),
        ((0.5, 3, {}, 4), "It returned 4 elements"),
        (("low", 3, {}), "Element 0, the loss, is a str"),
        ((True, 3, {}), "Element 0, the loss, is a bool"),
        ((np.ones(2), 3, {}), "Element 0, the loss, is a ndarray"),
        ((0.5, "3", {}), "Element 1, the number of examples, is a str"),
        ((0.5, 3, []), "Element 2, the metrics, is a list"),
    ],
)
def test_evaluate_must_return_a_loss_a_number_and_metrics(result: object, which: str) -> None:
    with pytest.raises(TypeError, match="evaluate did not return a tuple") as caught:
        Returning(result).to_client().evaluate(EVALUATE)
    assert which in str(caught.value)


def test_what_is_no_array_is_named_with_its_function() -> None:
    with pytest.raises(ValueError, match="inhomogeneous") as caught:
        Returning(([np.ones(1), [[1], [2, 3]]], 3, {})).to_client().fit(FIT)
    assert caught.value.__notes__ == [
        "This is array 1 of 2.",
        "It is one of the arrays that Returning.fit returned.",
    ]
    with pytest.raises(ValueError, match="Array '0'") as caught:
        Returning([None]).to_client().get_parameters(GetParametersIns({}))
    assert caught.value.__notes__ == [
        "It is one of the arrays that Returning.get_parameters returned."
    ]


def test_parameters_and_properties_must_be_a_list_and_a_dict() -> None:
    client = Returning(None).to_client()
    with pytest.raises(TypeError, match=r"Returning\.get_parameters did not return a list"):
        client.get_parameters(GetParametersIns({}))
    with pytest.raises(TypeError, match=r"Returning\.get_properties did not return a dict"):
        client.get_properties(GetPropertiesIns({}))
    got = Returning({"n": np.int32(3)}).to_client().get_properties(GetPropertiesIns({}))
    assert (got.properties, type(got.properties["n"])) == ({"n": 3}, int)
