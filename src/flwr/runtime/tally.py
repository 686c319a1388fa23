"""How many messages of a run came back as errors, and what that makes of the run."""

from dataclasses import dataclass

from flwr.app.events import Event, Exchange, ModelSpoiled
from flwr.errors import RunFailedError

_UNHANDLED = "ValueError: No "  # … function registered: how a ClientApp says that it has none


@dataclass
class Tally:
    """How many messages of one type there were, and how many came back as errors.

    Attributes
    ----------
    messages, failures : int
        All of them, and the errors.
    unhandled : int
        The errors of ClientApps that have no function for such messages.
    silent : int
        Exchanges in which nobody answered in time.
    """

    messages: int = 0
    failures: int = 0
    unhandled: int = 0
    silent: int = 0

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
    spoiled : str
        What makes the model useless, if something does.
    """

    def __init__(self, by_type: dict[str, Tally] | None = None) -> None:
        self.by_type = {} if by_type is None else by_type
        self.spoiled = ""

    def add(self, event: Event) -> None:
        """Count the messages of an exchange, and note that a model is useless."""
        if isinstance(event, Exchange):
            tally = self.by_type.setdefault(event.message_type, Tally())
            tally.messages += len(event.outcomes)
            errors = [each.error for each in event.outcomes if each.error is not None]
            tally.failures += len(errors)
            tally.silent += not event.outcomes
            tally.unhandled += sum(error.startswith(_UNHANDLED) for error in errors)
        elif isinstance(event, ModelSpoiled):
            self.spoiled = event.reason

    def of(self, category: str = "") -> Tally:
        """Return the sum over all types, or those of a category (what is before the dot)."""
        tallies = [
            each
            for message_type, each in self.by_type.items()
            if category in ("", message_type.partition(".")[0])
        ]
        return Tally(
            sum(each.messages for each in tallies),
            sum(each.failures for each in tallies),
            sum(each.unhandled for each in tallies),
            sum(each.silent for each in tallies),
        )

    def judge(self) -> list[str]:
        """Call a run failed that got no reply, or none to one kind of message, or a useless model.

        An app that only has no function for evaluation is warned of.

        Returns
        -------
        list of str
            Warnings of other types of which all messages failed.

        Raises
        ------
        RunFailedError
            If the run failed.
        """
        for category in ("", "train", "evaluate", "query"):
            tally, kind = self.of(category), f"{category} " if category else ""
            if tally.all_failed and (category in ("", "train") or tally.unhandled < tally.failures):
                raise RunFailedError(
                    f"All of its {tally.messages} {kind}messages came back as errors."
                )
            if tally.silent and not tally.messages:
                raise RunFailedError(f"Nobody answered its {kind}messages in time.")
        if self.spoiled:
            raise RunFailedError(f"The model is of no use: {self.spoiled}.")
        return [
            f"All {tally.messages} messages of type '{message_type}' came back as errors."
            for message_type, tally in self.by_type.items()
            if tally.all_failed
        ]
