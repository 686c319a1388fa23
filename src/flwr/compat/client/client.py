"""`Client`: what legacy apps subclass to train and evaluate on their data."""

from typing import Self

from flwr.compat.client.told import ToldContext
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

_IMPLEMENTED = "Success"


class Client(ToldContext):
    """A client of the legacy API. Subclasses override what they can do; the rest says that not."""

    def get_properties(self, ins: GetPropertiesIns) -> GetPropertiesRes:
        """Return the client's properties.

        Parameters
        ----------
        ins : GetPropertiesIns
            The question and its configuration.
        """
        return GetPropertiesRes(
            _not_implemented(Code.GET_PROPERTIES_NOT_IMPLEMENTED, "get_properties"), {}
        )

    def get_parameters(self, ins: GetParametersIns) -> GetParametersRes:
        """Return the client's current parameters.

        Parameters
        ----------
        ins : GetParametersIns
            The question and its configuration.
        """
        return GetParametersRes(
            _not_implemented(Code.GET_PARAMETERS_NOT_IMPLEMENTED, "get_parameters"),
            Parameters([], ""),
        )

    def fit(self, ins: FitIns) -> FitRes:
        """Train the given parameters on the client's data.

        Parameters
        ----------
        ins : FitIns
            The parameters and the configuration.
        """
        status = _not_implemented(Code.FIT_NOT_IMPLEMENTED, "fit")
        return FitRes(status, Parameters([], ""), 0, {})

    def evaluate(self, ins: EvaluateIns) -> EvaluateRes:
        """Evaluate the given parameters on the client's data.

        Parameters
        ----------
        ins : EvaluateIns
            The parameters and the configuration.
        """
        status = _not_implemented(Code.EVALUATE_NOT_IMPLEMENTED, "evaluate")
        return EvaluateRes(status, 0.0, 0, {})

    def to_client(self) -> Self:
        """Return the client itself; a `NumPyClient` converts itself here."""
        return self


def _not_implemented(code: Code, name: str) -> Status:
    return Status(code, f"Client does not implement `{name}`")


def has_get_properties(client: Client) -> bool:
    """Whether a client's class implements ``get_properties``."""
    return type(client).get_properties is not Client.get_properties


def has_get_parameters(client: Client) -> bool:
    """Whether a client's class implements ``get_parameters``."""
    return type(client).get_parameters is not Client.get_parameters


def has_fit(client: Client) -> bool:
    """Whether a client's class implements ``fit``."""
    return type(client).fit is not Client.fit


def has_evaluate(client: Client) -> bool:
    """Whether a client's class implements ``evaluate``."""
    return type(client).evaluate is not Client.evaluate


def maybe_call_get_properties(
    client: Client, get_properties_ins: GetPropertiesIns
) -> GetPropertiesRes:
    """Call ``get_properties``; a client without it answers that it does not implement it."""
    ask = client if has_get_properties(client) else Client()
    return ask.get_properties(get_properties_ins)


def maybe_call_get_parameters(
    client: Client, get_parameters_ins: GetParametersIns
) -> GetParametersRes:
    """Call ``get_parameters``; a client without it answers that it does not implement it."""
    ask = client if has_get_parameters(client) else Client()
    return ask.get_parameters(get_parameters_ins)


def maybe_call_fit(client: Client, fit_ins: FitIns) -> FitRes:
    """Call ``fit``; a client without it answers that it does not implement it."""
    return (client if has_fit(client) else Client()).fit(fit_ins)


def maybe_call_evaluate(client: Client, evaluate_ins: EvaluateIns) -> EvaluateRes:
    """Call ``evaluate``; a client without it answers that it does not implement it."""
    return (client if has_evaluate(client) else Client()).evaluate(evaluate_ins)


def success() -> Status:
    """Return the status of a function that did its work."""
    return Status(Code.OK, _IMPLEMENTED)
