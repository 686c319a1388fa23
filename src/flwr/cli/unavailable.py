"""Commands of Flower that need its vendor's service, or a feature that is not there.

They take Flower's arguments, and say in one error what there is instead.
"""

from dataclasses import dataclass

from flwr.cli.output import OutputFormat, reporting
from flwr.errors import NotAvailableError


@dataclass(frozen=True)
class Lack:
    """Why a command is not available.

    Attributes
    ----------
    what : str
        What there is not.
    instead : str
        What to use.
    number : int or None
        Flower's number for it, which scripts may look for.
    """

    what: str
    instead: str
    number: int | None = None


_MANAGEMENT = Lack(
    "A SuperLink has one federation, '@none/default', and no accounts: there is no federation "
    "management",
    "To have nodes apart from each other, start a SuperLink for each group: flower-superlink",
    number=1,
)
_HUB = Lack(
    "Apps cannot be sent to Flower's hub, nor fetched from it",
    "Make a file of an app with: flwr build. Whoever gets it installs it with: flwr install",
)
LACKS = {
    "login": Lack(
        "Account authentication is not enabled: this version has no accounts to log in to",
        "Use commands without it. Who may reach a SuperLink is decided by its network and TLS.",
        number=19,
    ),
    "pull": Lack(
        "There is no artifact provider: artifacts of runs cannot be fetched from a SuperLink",
        "Those of a run in place are in its folder below FLWR_HOME/wildflower/runs. A ServerApp "
        "at a SuperLink has to save what is to be kept where you can reach it.",
        number=20,
    ),
    "chat": Lack(
        "There is no agent to chat with",
        "To see what runs do, use: flwr list, flwr log RUN_ID",
    ),
    "app publish": _HUB,
    "app review": _HUB,
    "supernode register": Lack(
        "This version has no keys of SuperNodes: they cannot be registered beforehand",
        "Start the node: flower-supernode. The SuperLink takes it up when it connects.",
    ),
    "federation create": _MANAGEMENT,
    "federation archive": _MANAGEMENT,
    "federation add-supernode": Lack(
        "All SuperNodes of a SuperLink are in its one federation, '@none/default': there is no "
        "federation management",
        "Start the node with the SuperLink's address: flower-supernode --superlink HOST:PORT",
        number=1,
    ),
    "federation remove-supernode": Lack(
        "All SuperNodes of a SuperLink are in its one federation, '@none/default': there is no "
        "federation management",
        "Stop the node's process. To forget a node that is offline: flwr supernode unregister ID",
        number=1,
    ),
    "federation remove-account": _MANAGEMENT,
    "federation simulation-config": Lack(
        "The options of simulations are not kept by the SuperLink",
        "Set them for a run: flwr run --federation-config 'num-supernodes=20'; or for all runs "
        "when it starts: flower-superlink --simulation --executor-config 'num-supernodes=20'",
        number=1,
    ),
    "federation invite create": _MANAGEMENT,
    "federation invite accept": _MANAGEMENT,
    "federation invite reject": _MANAGEMENT,
    "federation invite revoke": _MANAGEMENT,
    "federation invite list": _MANAGEMENT,
}
"""Each command, by its words behind ``flwr``."""


def refuse(command: str, output_format: OutputFormat) -> None:
    """Say that a command is not available, and end with status 1."""
    with reporting(output_format):
        lack = LACKS[command]
        number = f"[code: {lack.number}] " if lack.number is not None else ""
        raise NotAvailableError(
            f"{number}flwr {command} is not available. {lack.what}.", hint=lack.instead
        )
