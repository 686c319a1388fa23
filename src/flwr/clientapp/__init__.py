"""ClientApp: the user's half that runs beside the data, and the mods around it."""

from flwr.clientapp import mod as mod
from flwr.clientapp.clientapp import ClientApp as ClientApp

__all__ = ["ClientApp", "mod"]
