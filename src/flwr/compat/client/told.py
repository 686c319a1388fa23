"""The context of the message that a client answers, as apps of 1.7 to 1.13 ask for it."""

from flwr.app import Context


class ToldContext:
    """What was in ``self.context`` before ``client_fn`` was given the context.

    What an app keeps there itself stays.
    """

    def get_context(self) -> Context:
        """Return the context of the message that is being answered."""
        context: Context = vars(self)["context"]
        return context

    def set_context(self, context: Context) -> None:
        """Say which message is being answered. Called by the framework."""
        kept = vars(self)
        if kept.get("context") is kept.get("_told"):
            kept["context"] = kept["_told"] = context
