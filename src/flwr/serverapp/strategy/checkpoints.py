"""The checkpoints of a strategy's rounds, where the grid keeps such things."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from flwr.serverapp.grid import Grid, SavesCheckpoints


class Stateful(Protocol):
    """Gives its state and takes it up: a strategy."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take it up."""
        ...


class Checkpoints:
    """Saves a strategy's state; does nothing with a grid that is no `SavesCheckpoints`.

    Attributes
    ----------
    restored : bool
        Whether the strategy goes on from a state that was saved in this run.
    """

    def __init__(self, grid: SavesCheckpoints | None, strategy: Stateful) -> None:
        self._grid = grid
        self._strategy = strategy
        state = None if grid is None else grid.open_scope()
        self.restored = state is not None
        if state is not None:
            strategy.load_state_dict(state)

    def save(self) -> None:
        """Save what the strategy has reached."""
        if self._grid is not None:
            self._grid.checkpoint(self._strategy.state_dict())


@contextmanager
def checkpoints(grid: Grid, strategy: Stateful) -> Iterator[Checkpoints]:
    """Let a strategy go on from its last checkpoint, if there is one, and save others."""
    saves = grid if isinstance(grid, SavesCheckpoints) else None
    try:
        yield Checkpoints(saves, strategy)
    finally:
        if saves is not None:
            saves.close_scope()
