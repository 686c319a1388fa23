"""``flwr login``."""

from flwr.cli.arguments import AppOrConnection, ConnectionOfApp, IdleFederationConfig
from flwr.cli.output import FormatOption, OutputFormat
from flwr.cli.unavailable import refuse


def login(
    app: AppOrConnection = None,
    connection: ConnectionOfApp = None,
    federation_config: IdleFederationConfig = None,
    output_format: FormatOption = OutputFormat.DEFAULT,
) -> None:
    """Log in to a SuperLink. Not available: there are no accounts."""
    refuse("login", output_format)
