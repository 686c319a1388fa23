"""A ServerApp that is killed and started again gets, bit for bit, what it would have got."""

from typing import Any

import pytest
from cases import CASES, NODES, Case
from federations import bits
from saving_grid import Killed, SavingGrid, forget_generators

from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import Result

ROUNDS = 3
IDS = range(1, NODES + 4)  # more than are asked, so that it matters who is drawn

Saved = dict[int, list[tuple[bytes, list[bytes]]]]


class Federation:
    """Nodes that outlive processes, and what they were sent."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.saved: Saved = {}
        self.asked: list[tuple[int, str, int]] = []

    def answer(self, message: Message) -> RecordDict:
        node, kind = message.metadata.dst_node_id, message.metadata.message_type
        server_round = int(message.content["config"]["server-round"])
        self.asked.append((server_round, kind, node))
        if kind == "evaluate":
            metrics = MetricRecord({"num-examples": node, "loss": node / 4})
            return RecordDict({"metrics": metrics})
        arrays = self.case.trained(message.content["arrays"], node, server_round)
        return self.case.reply(arrays, node)

    def attempt(self, **dies: Any) -> Result:
        """Start a process that runs the rounds."""
        forget_generators()
        grid = SavingGrid(IDS, self.answer, self.saved, **dies)
        share = NODES / len(IDS)
        settings = {} if self.case.turns else {"fraction_train": share, "fraction_evaluate": 0.5}
        strategy = self.case.make(**settings)
        return strategy.start(grid, self.case.model(), num_rounds=ROUNDS)

    def resumed(self, **dies: Any) -> Result:
        """Let a process die, and the next one bring the result."""
        with pytest.raises(Killed):
            self.attempt(**dies)
        return self.attempt()


def shown(result: Result) -> tuple[Any, ...]:
    return (
        bits(result.arrays),
        result.train_metrics_clientapp,
        result.evaluate_metrics_clientapp,
    )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_process_killed_after_any_checkpoint_changes_no_bit(case: Case) -> None:
    whole = Federation(case)
    with pytest.raises(Killed):
        whole.attempt(dies_after=1)
    start = {scope: list(states) for scope, states in whole.saved.items()}
    expected = shown(whole.attempt())
    count = sum(map(len, whole.saved.values()))
    assert count == 1 + 2 * ROUNDS
    for number in range(2, count + 1):
        other = Federation(case)
        other.saved = {scope: list(states) for scope, states in start.items()}
        assert shown(other.resumed(dies_after=number)) == expected
        assert len(other.asked) == len(set(other.asked))


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("kind", ["train", "evaluate"])
def test_a_process_killed_between_checkpoints_asks_the_same_again(case: Case, kind: str) -> None:
    whole, killed = Federation(case), Federation(case)
    with pytest.raises(Killed):
        whole.attempt(dies_after=1)
    killed.saved = {scope: list(states) for scope, states in whole.saved.items()}
    expected = shown(whole.attempt())
    if case.turns and kind == "evaluate":
        kind = "train"
    assert shown(killed.resumed(dies_at=kind)) == expected
    assert set(killed.asked) == set(whole.asked)


def test_all_rounds_done_gives_the_result_at_once() -> None:
    federation = Federation(CASES[0])
    first = federation.attempt()
    asked = len(federation.asked)
    assert shown(federation.attempt()) == shown(first)
    assert len(federation.asked) == asked


def test_noise_is_drawn_again_only_for_a_model_that_nobody_has_seen() -> None:
    case = next(each for each in CASES if each.name.endswith("ServerSideFixedClipping"))
    case = Case(case.name, {**case.settings, "noise_multiplier": 1e-6}, wraps=True)
    seen: list[ArrayRecord] = []

    class Watched(Federation):
        def answer(self, message: Message) -> RecordDict:
            if message.metadata.message_type == "evaluate":
                seen.append(message.content["arrays"])
            return super().answer(message)

    federation = Watched(case)
    with pytest.raises(Killed):
        federation.attempt(dies_at="evaluate")
    before, _ = bits(seen[0]), seen.clear()
    federation.attempt()
    assert bits(seen[0]) == before
