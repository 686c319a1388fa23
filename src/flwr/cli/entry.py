"""The ``flwr`` command's entry point."""

import sys

from flwr.cli.streams import usable_streams


def main() -> None:
    """Run the command line and exit with its code."""
    with usable_streams():
        if sys.argv[1:] in (["-V"], ["--version"]):
            # Answered before the CLI library is loaded: this is the command that tools call most.
            from flwr._version import __version__

            sys.stdout.write(f"Flower version: {__version__}\n")
            return
        from flwr.cli.interrupts import exit_status, interrupts

        interrupts.install()
        try:
            from flwr.cli.commands import app

            app()
        except KeyboardInterrupt as interrupt:
            sys.stderr.write("\nInterrupted.\n")
            raise SystemExit(exit_status(interrupt)) from None
        finally:
            interrupts.end()
