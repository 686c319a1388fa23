"""The checkpoints of a strategy's rounds, where the grid keeps such things."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flwr.serverapp.grid import Grid, SavesCheckpoints

if TYPE_CHECKING:
    from flwr.serverapp.strategy.strategy import Strategy


class Checkpoints:
    """Saves a strategy's state; does nothing with a grid that is no `SavesCheckpoints`.

    Attributes
    ----------
    restored : bool
        Whether the strategy goes on from a state that was saved in this run.
    """

    def __init__(self, grid: SavesCheckpoints | None, strategy: "Strategy") -> None:
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
def checkpoints(grid: Grid, strategy: "Strategy") -> Iterator[Checkpoints]:
    """Let a strategy go on from its last checkpoint, if there is one, and save others."""
    saves = grid if isinstance(grid, SavesCheckpoints) else None
    try:
        yield Checkpoints(saves, strategy)
    finally:
        if saves is not None:
            saves.close_scope()
