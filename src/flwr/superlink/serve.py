"""A SuperLink from its start to its end."""

from flwr.superlink.settings import Settings


def run_superlink(settings: Settings) -> int:
    """Serve until SIGINT or SIGTERM comes; return the exit status.

    Raises
    ------
    FlwrError
        If it cannot start: an address in use, a database that cannot be opened, bad certificates.
    """
    raise NotImplementedError
