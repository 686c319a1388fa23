"""What the methods of a strategy return, checked: users override them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from flwr.compat.clients.client_proxy import ClientProxy
from flwr.compat.strategy.strategy import Strategy
from flwr.compat.typing import Parameters, Scalar

Ins = TypeVar("Ins")


def checked_instructions(
    strategy: Strategy, method: str, returned: Any, kind: type[Ins]
) -> list[tuple[ClientProxy, Ins]]:
    """Return the (client, instruction) pairs of ``configure_fit`` or ``configure_evaluate``.

    Raises
    ------
    TypeError
        If they are none; names the method and what it returned.
    """
    form = f"a list of (ClientProxy, {kind.__name__}) pairs"
    if returned is None:
        return []
    if not isinstance(returned, list | tuple):
        raise _wrong(strategy, method, form, _named(returned))
    for place, pair in enumerate(returned):
        if not isinstance(pair, list | tuple) or len(pair) != 2 or not isinstance(pair[1], kind):
            raise _wrong(strategy, method, form, f"a list whose item {place} is {_named(pair)}")
    return [(client, instruction) for client, instruction in returned]


@contextmanager
def instructions_of(strategy: Strategy, method: str) -> Iterator[None]:
    """Let an error about instructions that cannot be sent name the method that made them."""
    try:
        yield
    except TypeError as error:
        error.add_note(f"The instructions are those of `{type(strategy).__qualname__}.{method}`.")
        raise


def checked_fit(strategy: Strategy, returned: Any) -> tuple[Parameters | None, dict[str, Scalar]]:
    """Return the parameters and metrics of ``aggregate_fit``; errors as above."""
    form = "a pair of Parameters or None, and a dict of metrics"
    parameters, metrics = _pair(strategy, "aggregate_fit", form, returned)
    if parameters is not None and not isinstance(parameters, Parameters):
        found = f"{_named(parameters)} in place of Parameters: use ndarrays_to_parameters"
        raise _wrong(strategy, "aggregate_fit", form, found)
    return parameters, _metrics(strategy, "aggregate_fit", form, metrics)


def checked_evaluate(strategy: Strategy, returned: Any) -> tuple[float | None, dict[str, Scalar]]:
    """Return the loss and metrics of ``aggregate_evaluate``; errors as above."""
    form = "a pair of a loss or None, and a dict of metrics"
    loss, metrics = _pair(strategy, "aggregate_evaluate", form, returned)
    if loss is None and metrics is None:
        return None, {}
    return loss, _metrics(strategy, "aggregate_evaluate", form, metrics)


def checked_evaluation(strategy: Strategy, returned: Any) -> tuple[float, dict[str, Scalar]] | None:
    """Return the loss and metrics of ``evaluate``, None if it measured nothing; errors as above."""
    if returned is None:
        return None
    form = "None, or a pair of a loss and a dict of metrics"
    loss, metrics = _pair(strategy, "evaluate", form, returned)
    return loss, _metrics(strategy, "evaluate", form, metrics)


def checked_initial(strategy: Strategy, returned: Any) -> Parameters | None:
    """Return the parameters of ``initialize_parameters``, None if it has none; errors as above."""
    if returned is not None and not isinstance(returned, Parameters):
        form = "Parameters (see ndarrays_to_parameters) or None"
        raise _wrong(strategy, "initialize_parameters", form, _named(returned))
    return returned


def _pair(strategy: Strategy, method: str, form: str, returned: Any) -> tuple[Any, Any]:
    if not isinstance(returned, list | tuple) or len(returned) != 2:
        raise _wrong(strategy, method, form, _named(returned))
    return returned[0], returned[1]


def _metrics(strategy: Strategy, method: str, form: str, metrics: Any) -> dict[str, Scalar]:
    if not isinstance(metrics, Mapping):
        raise _wrong(strategy, method, form, f"{_named(metrics)} in place of the metrics")
    return dict(metrics)


def _named(value: Any) -> str:
    """Return what a value is, in few words."""
    if value is None:
        return "None"
    if isinstance(value, list | tuple):
        inside = ", ".join(type(item).__name__ for item in value[:4])
        return f"a {type(value).__name__} of {len(value)} ({inside}{', …' * (len(value) > 4)})"
    return f"a {type(value).__name__}"


def _wrong(strategy: Strategy, method: str, form: str, found: str) -> TypeError:
    return TypeError(
        f"`{type(strategy).__qualname__}.{method}` must return {form}. It returned {found}."
    )
