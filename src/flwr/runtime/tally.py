"""How many messages of a run came back as errors, and what that makes of the run."""

from dataclasses import dataclass

from flwr.app.events import Event, Exchange
from flwr.errors import RunFailedError


@dataclass
class Tally:
    """How many messages of one type there were, and how many came back as errors."""

    messages: int = 0
    failures: int = 0

    @property
    def all_failed(self) -> bool:
        """Whether there were any, and none was answered by anything but an error."""
        return 0 < self.messages == self.failures


class Tallies:
    """The messages of a run by their type.

    Attributes
    ----------
    by_type : dict of str to Tally
        Of each type.
    """

    def __init__(self, by_type: dict[str, Tally] | None = None) -> None:
        self.by_type = {} if by_type is None else by_type

    def add(self, event: Event) -> None:
        """Count the messages of an exchange; other events count nothing."""
        if isinstance(event, Exchange):
            tally = self.by_type.setdefault(event.message_type, Tally())
            tally.messages += len(event.outcomes)
            tally.failures += sum(outcome.error is not None for outcome in event.outcomes)

    def of(self, category: str = "") -> Tally:
        """Return the sum over all types, or those of a category (what is before the dot)."""
        tallies = [
            each
            for message_type, each in self.by_type.items()
            if category in ("", message_type.partition(".")[0])
        ]
        return Tally(sum(each.messages for each in tallies), sum(each.failures for each in tallies))

    def judge(self) -> list[str]:
        """Call a run failed that got no reply, or none to training.

        Returns
        -------
        list of str
            Warnings of other types of which all messages failed.

        Raises
        ------
        RunFailedError
            If the run failed.
        """
        for category, name in (("", ""), ("train", "train ")):
            tally = self.of(category)
            if tally.all_failed:
                raise RunFailedError(
                    f"All of its {tally.messages} {name}messages came back as errors."
                )
        return [
            f"All {tally.messages} messages of type '{message_type}' came back as errors."
            for message_type, tally in self.by_type.items()
            if tally.all_failed
        ]
