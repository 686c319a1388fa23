"""``flwr chat``."""

from flwr.cli.output import FormatOption, OutputFormat
from flwr.cli.unavailable import refuse


def chat(output_format: FormatOption = OutputFormat.DEFAULT) -> None:
    """Talk to Flower's agent. Not available: it is a service of Flower's vendor."""
    refuse("chat", output_format)
