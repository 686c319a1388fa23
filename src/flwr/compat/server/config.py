"""`ServerConfig`: how a legacy run is configured."""

from dataclasses import dataclass


@dataclass
class ServerConfig:
    """How many rounds, and how long each may wait for its clients.

    Attributes
    ----------
    num_rounds : int, default 1
        Rounds of training and evaluation.
    round_timeout : float, optional
        Seconds to wait for the results of a phase; by default as long as it takes.
    """

    num_rounds: int = 1
    round_timeout: float | None = None

    def __repr__(self) -> str:
        timeout = (
            f"round_timeout={self.round_timeout}s" if self.round_timeout else "no round_timeout"
        )
        return f"num_rounds={self.num_rounds}, {timeout}"
