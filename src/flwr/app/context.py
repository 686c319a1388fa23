"""`Context`: what an app knows of its run and of its node."""

from dataclasses import dataclass
from typing import TypeAlias

from flwr.app.recorddict import RecordDict

# As in flwr.config, whose import would cost as much as that of this whole room.
UserConfigValue: TypeAlias = bool | float | int | str
UserConfig: TypeAlias = dict[str, UserConfigValue]


@dataclass
class Context:
    """What an app knows of its run and of its node, and what it keeps between messages.

    Attributes
    ----------
    run_id : int
        The run.
    node_id : int
        The node; 0 for a ServerApp of a simulation.
    node_config : dict
        The node's own settings. In a simulation ``partition-id`` and ``num-partitions``.
    state : RecordDict
        Kept from one message to the next, for this run on this node, if the app returned normally.
    run_config : dict
        The app's settings: dotted keys.
    series_id : int, default 0
        The series of runs that this one belongs to.
    """

    run_id: int
    node_id: int
    node_config: UserConfig
    state: RecordDict
    run_config: UserConfig
    series_id: int = 0
