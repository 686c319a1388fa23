"""``flwr pull``."""

from flwr.cli.arguments import AppOrConnection, ConnectionOfApp, IdleFederationConfig, RunId
from flwr.cli.output import FormatOption, OutputFormat
from flwr.cli.unavailable import refuse


def pull(
    run_id: RunId,
    app: AppOrConnection = None,
    connection: ConnectionOfApp = None,
    federation_config: IdleFederationConfig = None,
    output_format: FormatOption = OutputFormat.DEFAULT,
) -> None:
    """Fetch the artifacts of a run. Not available: a SuperLink keeps none."""
    refuse("pull", output_format)
