"""Asking many clients at once.

Clients of one grid are asked in one batch. Others, which are the user's own or those of a server
of their own, are asked by a thread each.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

from flwr.compat.clients.client_proxy import ClientProxy
from flwr.compat.typing import (
    Code,
    DisconnectRes,
    EvaluateIns,
    EvaluateRes,
    FitIns,
    FitRes,
    ReconnectIns,
    Status,
)

FitResultsAndFailures = tuple[
    list[tuple[ClientProxy, FitRes]],
    list[tuple[ClientProxy, FitRes] | BaseException],
]
EvaluateResultsAndFailures = tuple[
    list[tuple[ClientProxy, EvaluateRes]],
    list[tuple[ClientProxy, EvaluateRes] | BaseException],
]
ReconnectResultsAndFailures = tuple[
    list[tuple[ClientProxy, DisconnectRes]],
    list[tuple[ClientProxy, DisconnectRes] | BaseException],
]


class HasStatus(Protocol):
    """A client's result."""

    status: Status


Ins = TypeVar("Ins")
Res = TypeVar("Res")
StatusRes = TypeVar("StatusRes", bound=HasStatus)

# Asks all clients of a batch at once; gives a result or an error for each, in order.
Batch = Callable[[Sequence[tuple[ClientProxy, Ins]], float | None, int], list[Res | BaseException]]


def fit_clients(
    client_instructions: list[tuple[ClientProxy, FitIns]],
    max_workers: int | None,
    timeout: float | None,
    group_id: int,
) -> FitResultsAndFailures:
    """Let clients train.

    Parameters
    ----------
    client_instructions : list of (ClientProxy, FitIns)
        Whom to ask what.
    max_workers : int, optional
        The most threads, where threads are used.
    timeout : float, optional
        Seconds to wait; by default as long as it takes.
    group_id : int
        The round.

    Returns
    -------
    tuple[list, list]
        Results as (client, result) in the order of the instructions, and failures: results that
        are not OK as (client, result), and exceptions.
    """
    return _judged(
        client_instructions,
        _ask_all(
            client_instructions,
            "fit_batch",
            lambda client, ins: client.fit(ins, timeout=timeout, group_id=group_id),
            (max_workers, timeout, group_id),
        ),
    )


def evaluate_clients(
    client_instructions: list[tuple[ClientProxy, EvaluateIns]],
    max_workers: int | None,
    timeout: float | None,
    group_id: int,
) -> EvaluateResultsAndFailures:
    """Let clients evaluate; parameters and result as those of :func:`fit_clients`."""
    return _judged(
        client_instructions,
        _ask_all(
            client_instructions,
            "evaluate_batch",
            lambda client, ins: client.evaluate(ins, timeout=timeout, group_id=group_id),
            (max_workers, timeout, group_id),
        ),
    )


def reconnect_clients(
    client_instructions: list[tuple[ClientProxy, ReconnectIns]],
    max_workers: int | None,
    timeout: float | None,
) -> ReconnectResultsAndFailures:
    """Let clients disconnect; parameters and result as those of :func:`fit_clients`."""
    answers = _ask_all(
        client_instructions,
        "reconnect_batch",
        lambda client, ins: client.reconnect(ins, timeout=timeout, group_id=None),
        (max_workers, timeout, 0),
    )
    results: list[tuple[ClientProxy, DisconnectRes]] = []
    failures: list[tuple[ClientProxy, DisconnectRes] | BaseException] = []
    for (client, _), answer in zip(client_instructions, answers, strict=True):
        if isinstance(answer, BaseException):
            failures.append(answer)
        else:
            results.append((client, answer))
    return results, failures


def fit_client(
    client: ClientProxy, ins: FitIns, timeout: float | None, group_id: int
) -> tuple[ClientProxy, FitRes]:
    """Let one client train."""
    return client, client.fit(ins, timeout=timeout, group_id=group_id)


def evaluate_client(
    client: ClientProxy, ins: EvaluateIns, timeout: float | None, group_id: int
) -> tuple[ClientProxy, EvaluateRes]:
    """Let one client evaluate."""
    return client, client.evaluate(ins, timeout=timeout, group_id=group_id)


def reconnect_client(
    client: ClientProxy, reconnect: ReconnectIns, timeout: float | None
) -> tuple[ClientProxy, DisconnectRes]:
    """Let one client disconnect."""
    return client, client.reconnect(reconnect, timeout=timeout, group_id=None)


def _ask_all(
    instructions: Sequence[tuple[ClientProxy, Ins]],
    batch_name: str,
    ask: Callable[[ClientProxy, Ins], Res],
    how: tuple[int | None, float | None, int],
) -> list[Res | BaseException]:
    max_workers, timeout, group_id = how
    if not instructions:
        return []
    batches = {getattr(client, batch_name, None) for client, _ in instructions}
    batch: Batch[Ins, Res] | None = batches.pop()
    if batch is not None and not batches:
        return batch(instructions, timeout, group_id)

    def answer(client: ClientProxy, ins: Ins) -> Res | BaseException:
        try:
            return ask(client, ins)
        except Exception as error:
            return error

    with ThreadPoolExecutor(max_workers=max_workers) as threads:
        return list(threads.map(answer, *zip(*instructions, strict=True)))


def _judged(
    instructions: Sequence[tuple[ClientProxy, Ins]], answers: list[StatusRes | BaseException]
) -> tuple[
    list[tuple[ClientProxy, StatusRes]], list[tuple[ClientProxy, StatusRes] | BaseException]
]:
    results: list[tuple[ClientProxy, StatusRes]] = []
    failures: list[tuple[ClientProxy, StatusRes] | BaseException] = []
    for (client, _), answer in zip(instructions, answers, strict=True):
        if isinstance(answer, BaseException):
            failures.append(answer)
        elif answer.status.code is Code.OK:
            results.append((client, answer))
        else:
            failures.append((client, answer))
    return results, failures
